"""Tables and sentences of an ablation: no interval, no claim."""

from flows.answers import learnt, question_table, runs_of, table_row
from flows.variants import VARIANTS, asked_questions
from tests.flows.variant_samples import variant_outcome

DEFAULT = variant_outcome("default", (0.5, 0.6, 0.7, 0.8, 0.5, 0.7), shares=(0.5, 0.4, 0.6))
WORSE = variant_outcome("no-alignment", (0.4, 0.5, 0.5, 0.6, 0.3, 0.4), shares=(0.4, 0.4, 0.7))
LORA = variant_outcome("lora", (0.5, 0.6, 0.7, 0.8, 0.5, 0.7), method="lora")
RUNS = runs_of([DEFAULT, WORSE, LORA])
QUESTIONS = asked_questions([*RUNS, "alpha-low"])


def text(min_units: int = 3) -> str:
    failed = {"alpha-low": "RuntimeError: no room"}
    return learnt(QUESTIONS, RUNS, failed=failed, same=("cosine",), min_units=min_units)


def test_a_table_has_the_default_first_and_each_difference_with_its_interval() -> None:
    rows = question_table(QUESTIONS["loss"], RUNS, VARIANTS)
    assert [row["variant"] for row in rows] == ["default", "no-alignment"]
    default, worse = rows
    assert worse["training"] == "hcp.alignment.alpha=0.0"
    assert default["people score, to default"] == "-"
    assert worse["people score"] == 0.45
    assert str(worse["people score, to default"]).startswith("-0.1833 (-0.2")
    assert str(worse["people score, to base"]).startswith("-0.0167 (")
    assert str(worse["attention inside people, to default"]).startswith("+0.0000 (-0.1")
    assert (worse["parameters"], worse["MB in float16"], worse["alignment"]) == (250_000, 0.5, 0.4)


def test_what_a_variant_has_not_is_a_dash() -> None:
    rows = question_table(QUESTIONS["method"], RUNS, VARIANTS)
    assert rows[1]["attention inside people, to default"] == "-"
    assert rows[1]["alignment"] == "-"  # LoRA has no such loss
    assert "KID" not in rows[1]


def test_a_claim_is_made_where_the_interval_leaves_0_out() -> None:
    said = text()
    assert "- `no-alignment`: people score **worse**, -0.1833 (-0.2" in said
    assert "no clear difference in attention inside people +0.0000 (-0.1000 to +0.1000)" in said
    assert "- `lora`: no clear difference in people score +0.0000 (+0.0000 to +0.0000)" in said
    assert "- `alpha-low`: did not end, so nothing is known of it." in said
    assert "- `alpha-low`: RuntimeError: no room" in said
    assert "The default says what these would: `cosine`." in said


def test_too_few_prompts_make_no_claim() -> None:
    said = text(min_units=8)
    assert "**worse**" not in said
    assert "too few prompts or photos for a claim on people score (3 of 8)" in said


def test_without_the_default_nothing_is_claimed() -> None:
    said = learnt(QUESTIONS, runs_of([WORSE]), failed={}, same=(), min_units=3)
    assert "`no-alignment`: nothing was measured that the default has too" in said


def test_seeds_of_the_training_are_one_row() -> None:
    outcomes = [
        variant_outcome(name, [0.5 + shift + seed / 100] * 6, seed=seed)
        for name, shift in (("default", 0.0), ("gate-zero", 0.2))
        for seed in range(3)
    ]
    runs = runs_of(outcomes)
    (question,) = asked_questions(runs).values()
    default, zero = question_table(question, runs, VARIANTS)
    assert (default["seeds"], zero["seeds"]) == (3, 3)
    assert zero["people score, to default"] == "+0.2000 (+0.2000 to +0.2000)"
    assert [table_row(outcome)["seed"] for outcome in outcomes] == [0, 1, 2, 0, 1, 2]


def test_a_row_of_numbers_leaves_out_what_was_not_measured() -> None:
    row = table_row(LORA)
    assert (row["to base"], row["low"], row["high"]) == (0.2, 0.1, 0.3)
    assert row["report"] == "lora/report.html"
    assert not {"alignment", "attention_share", "seed"} & set(row)
