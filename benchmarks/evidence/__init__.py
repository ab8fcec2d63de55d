"""The comparison of methods: train, draw, judge, and say how sure the differences are."""
