"""Fine-tuning: examples, batches, the loop, its state, and Ray Train around it."""
