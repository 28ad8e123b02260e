"""A conversion's report, in a line for people and as plain values for programs."""

import json

from tflite.measuring.agreement import Agreement
from tflite.measuring.reports import ConversionReport
from tflite.rewriting.passes import Change, Left, PassReport


def report(*passes: PassReport) -> ConversionReport:
    return ConversionReport(
        precision="int8",
        target="android",
        size=10,
        weight_bytes=5,
        macs=100,
        operators={"ADD": 1},
        partitions=1,
        outside={},
        arena_bytes=64,
        milliseconds=0.1,
        agreement=Agreement(1, 0.0, 0.0, sqnr_db=float("inf"), top1_agreement=1.0),
        agreement_images="seeded noise",
        rewriting=passes,
    )


FOLDING = PassReport(
    "folding",
    changed=(
        Change("bn_1", "batch norm", "folded into weights"),
        Change("rescaling", "scaling", "folded into weights"),
        Change("bn_2", "batch norm", "folded into weights"),
    ),
    left=(Left("bn_3", "batch norm", "read by Conv2DTranspose"),),
)
HARD_SWISH = PassReport(
    "hard_swish",
    changed=(
        Change("swish_1", "h-swish", "written with ReLU6"),
        Change("swish_2", "h-swish", "written with ReLU6"),
        Change("identity_1", "Identity", "removed"),
        Change("identity_2", "Identity", "removed"),
    ),
)


def test_the_rewriting_is_told_in_a_line():
    line = (
        "2 batch norms folded into weights, 1 scaling folded into weights, "
        "2 h-swishes written with ReLU6, 2 Identities removed; "
        "left: 1 batch norm (read by Conv2DTranspose)"
    )
    assert report(FOLDING, HARD_SWISH).rewritten == line
    assert f"rewritten: {line}" in str(report(FOLDING, HARD_SWISH)).splitlines()


def test_a_file_that_nothing_was_rewritten_for_says_so():
    assert report(PassReport("folding")).rewritten == "nothing"
    assert "rewritten" not in str(report())


def test_the_rewriting_is_in_the_json_pass_by_pass():
    passes = json.loads(report(FOLDING, HARD_SWISH).to_json())["rewriting"]
    assert [one["name"] for one in passes] == ["folding", "hard_swish"]
    assert passes[0]["left"] == [
        {"node": "bn_3", "what": "batch norm", "reason": "read by Conv2DTranspose"}
    ]
    assert passes[1]["changed"][0] == {
        "node": "swish_1",
        "what": "h-swish",
        "how": "written with ReLU6",
    }
