"""Properties of the notations people use."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migctl import quantities
from migctl.quantities import BadQuantity
from nodeagent.contract.units import MIB

LARGE_ENOUGH = 100


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("5G", 4769), ("5GB", 4769), ("5Gi", 5120), ("5GiB", 5120), ("10GB", 9537), ("1.5Gi", 1536),
        ("512Mi", 512), ("512MiB", 512), ("100M", 96), ("100MB", 96), ("2000MB", 1908), (".5G", 477),
    ],
)  # fmt: skip
def test_flag_memory_known_values(text: str, mib: int) -> None:
    assert quantities.flag_memory(text) == mib


@pytest.mark.parametrize(("text", "mib"), [("2000", 2000), ("5G", 4769), ("5Gi", 5120), ("1Ti", 2**20), ("2e3", None)])
def test_annotation_memory_known_values(text: str, mib: int | None) -> None:
    if mib is None:
        with pytest.raises(BadQuantity):
            quantities.annotation_memory(text)
    else:
        assert quantities.annotation_memory(text) == mib


@pytest.mark.parametrize(
    "text", ["5X", "5", "G", "", "-5G", "+5G", "5 G", "5g", "1e3G", "nan", "5G\n", "\u0665G", "5K", "5T"]
)
def test_flag_memory_refuses_other_notations_and_names_the_units(text: str) -> None:
    with pytest.raises(BadQuantity, match="MiB, G, Gi"):
        quantities.flag_memory(text)


@pytest.mark.parametrize("text", ["99M", "95Mi", "0G", "0.09G"])
def test_less_than_100_mb_is_refused(text: str) -> None:
    with pytest.raises(BadQuantity, match="at least 100 MB"):
        quantities.flag_memory(text)
    with pytest.raises(BadQuantity, match="at least 100 MB"):
        quantities.annotation_memory("95")


@given(st.integers(LARGE_ENOUGH, 10**9), st.sampled_from(sorted(quantities.FLAG_UNITS)))
def test_memory_is_the_fewest_mib_that_hold_the_bytes(number: int, unit: str) -> None:
    size = number * quantities.FLAG_UNITS[unit]
    mib = quantities.flag_memory(f"{number}{unit}")
    assert (mib - 1) * MIB < size <= mib * MIB


@given(st.integers(LARGE_ENOUGH, 10**9), st.sampled_from(sorted(quantities.FLAG_UNITS)))
def test_flags_and_annotations_agree_where_there_is_a_unit(number: int, unit: str) -> None:
    assert quantities.annotation_memory(f"{number}{unit}") == quantities.flag_memory(f"{number}{unit}")


@given(st.integers(1, 9999))
def test_every_decimal_fraction_is_read_exactly(ten_thousandths: int) -> None:
    assert quantities.fraction(f"{ten_thousandths / 10000:.4f}") == ten_thousandths / 10000


@given(st.floats().filter(lambda x: not 0 < x < 1))
def test_what_is_not_between_0_and_1_is_no_fraction(value: float) -> None:
    with pytest.raises(BadQuantity):
        quantities.fraction(repr(value))


@pytest.mark.parametrize("text", ["half", "", "0,5", "50%", "0.5 GPU", "1e-3", "0." + "0" * 400 + "1", "0." + "9" * 30])
def test_words_are_no_fraction(text: str) -> None:
    with pytest.raises(BadQuantity, match=r"above 0 and below 1"):
        quantities.fraction(text)


@given(st.integers(1, 999_999))
def test_whole_gpus_stay_whole(count: int) -> None:
    asked = quantities.fraction_or_gpus(str(count))
    assert asked == count
    assert isinstance(asked, int)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "abc", "inf", "nan", "0.0", "9e9"])
def test_neither_a_part_nor_whole_gpus(text: str) -> None:
    with pytest.raises(BadQuantity, match="part of one GPU"):
        quantities.fraction_or_gpus(text)


@given(st.floats(0, 1000))
def test_portions_are_shown_within_half_a_hundredth(portion: float) -> None:
    assert abs(float(quantities.portion_text(portion)) - portion) <= 0.005 + 1e-9


@pytest.mark.parametrize(
    ("gpus", "text"), [(1.0, "1.00"), (6 / 7, "0.857"), (0.5, "0.50"), (10.0, "10.00"), (0, "0.00")]
)
def test_quota_currency(gpus: float, text: str) -> None:
    assert quantities.gpus_text(gpus) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (9, "9s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (600, "10m"), (10799, "179m"), (10800, "3h"),
        (18300, "5h5m"), (90000, "25h"), (352800, "4d2h"), (86400 * 9, "9d"), (86400 * 800, "2y70d"), (-5, "0s"),
    ],
)  # fmt: skip
def test_ages_read_as_in_kubectl(seconds: int, text: str) -> None:
    assert quantities.age_text(seconds) == text


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}


@given(st.floats(0, 36500 * 86400))
def test_an_age_is_short_and_never_ahead(age: float) -> None:
    text = quantities.age_text(age)
    parts, number = [], ""
    for letter in text:
        if letter.isdigit():
            number += letter
        else:
            parts.append((int(number), SECONDS[letter]))
            number = ""
    shown = sum(count * size for count, size in parts)
    assert 1 <= len(parts) <= 2
    assert shown <= age
    assert age - shown < max(60.0, math.ceil(age / 2))


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert quantities.duration(f"{days}d{hours}h{minutes}m{seconds}s") == total
    assert quantities.duration(str(total)) == total


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("0.5s", 0.5), ("5m", 300), ("1h30m", 5400), ("2d", 172800)])
def test_known_durations(text: str, seconds: float) -> None:
    assert quantities.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 m", "1m1h", "1.5h", "5x", "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadQuantity, match="not a duration"):
        quantities.duration(text)
