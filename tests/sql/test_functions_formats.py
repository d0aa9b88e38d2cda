"""TO_CHAR, TO_DATE, TO_TIMESTAMP, TO_NUMBER: the examples of PostgreSQL's and Redshift's manuals, and round trips."""

import datetime as dt
import random
from decimal import Decimal

import pytest
from sql.calling import call, moment, one

from engines.errors import QueryError

chance = random.Random(9)


WHEN = moment(2002, 4, 20, 17, 31, 12, 660_000)


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("HH12:MI:SS", "05:31:12"),
        ("HH24:MI:SS.MS", "17:31:12.660"),
        ("US", "660000"),
        ("YYYY-MM-DD", "2002-04-20"),
        ("Y,YYY YYY YY Y", "2,002 002 02 2"),
        ("Day, DD  HH12:MI:SS", "Saturday , 20  05:31:12"),
        ("FMDay, FMDD  HH12:MI:SS", "Saturday, 20  05:31:12"),
        ("MONTH|Month|month", "APRIL    |April    |april    "),
        ("FMMONTH MON Mon mon", "APRIL APR Apr apr"),
        ("DY Dy dy D ID DDD", "SAT Sat sat 7 6 110"),
        ("FMDDth FMMMTH", "20th 4TH"),
        ("IYYY-IW", "2002-16"),
        ("CC Q WW W J", "21 2 16 3 2452385"),
        ("RM|FMrm", "IV  |iv"),
        ("AM a.m. HH", "PM p.m. 05"),
        ("AD TZ OF", "AD UTC +00"),
        ("SSSS", "63072"),
        ('YYYY"year" (Q)', "2002year (2)"),
        ("MON-DD-YYYY HH12:MIPM", "APR-20-2002 05:31PM"),
        ("", ""),
    ],
)
def test_moments_as_text(template, shown):
    assert one("to_char", WHEN, template) == shown


def test_dates_and_times_as_text():
    assert call("to_char", [dt.date(2024, 1, 5), None], "FMDD.FMMM.YYYY") == ["5.1.2024", None]
    assert one("to_char", dt.time(9, 5), "HH24:MI") == "09:05"


@pytest.mark.parametrize(
    ("number", "template", "shown"),
    [
        (Decimal("-0.1"), "99.99", "  -.10"),
        (Decimal("-0.1"), "FM9.99", "-.1"),
        (Decimal("0.1"), "0.9", " 0.1"),
        (12, "9990999.9", "    0012.0"),
        (12, "FM9990999.9", "0012."),
        (485, "999", " 485"),
        (-485, "999", "-485"),
        (485, "9 9 9", " 4 8 5"),
        (1485, "9,999", " 1,485"),
        (1485, "9G999", " 1,485"),
        (Decimal("148.5"), "999.999", " 148.500"),
        (Decimal("148.5"), "FM999.999", "148.5"),
        (Decimal("148.5"), "FM999.990", "148.500"),
        (Decimal("3148.5"), "9G999D999", " 3,148.500"),
        (-485, "999S", "485-"),
        (-485, "999MI", "485-"),
        (485, "999MI", "485 "),
        (485, "FM999MI", "485"),
        (485, "PL999", "+485"),
        (485, "SG999", "+485"),
        (-485, "SG999", "-485"),
        (-485, "9SG99", "4-85"),
        (-5, "S999", "  -5"),
        (5, "S999", "  +5"),
        (-485, "999PR", "<485>"),
        (485, "999PR", " 485 "),
        (485, "999th", " 485th"),
        (482, "999TH", " 482ND"),
        (485, '"Good number:"999', "Good number: 485"),
        (Decimal("485.8"), '"Pre:"999" Post:" .999', "Pre: 485 Post: .800"),
        (12, "99V999", " 12000"),
        (Decimal("12.45"), "99V9", " 125"),
        (-12454.8, "99G999D9S", "12,454.8-"),
        (Decimal("125.8"), "999.99", " 125.80"),
        (12345, "999", " ###"),
        (0, "9", " 0"),
        (Decimal("0.00"), "FM9.00", ".00"),
    ],
)
def test_numbers_as_text(number, template, shown):
    assert one("to_char", number, template) == shown


def test_dates_are_read():
    assert one("to_date", "02 Oct 2001", "DD Mon YYYY") == dt.date(2001, 10, 2)
    assert one("to_date", "20010631", "YYYYMM") == dt.date(2001, 6, 1)
    assert one("to_date", "Jun 3, 99", "Mon DD, YY") == dt.date(1999, 6, 3)
    assert one("to_date", "2001/10/02", "YYYY-MM-DD") == dt.date(2001, 10, 2)
    assert one("to_date", "2024-060", "YYYY-DDD") == dt.date(2024, 2, 29)
    assert one("to_date", "2024-W01-1", 'IYYY-"W"IW-ID') == dt.date(2024, 1, 1)
    assert one("to_date", "XII 2024", "RM YYYY") == dt.date(2024, 12, 1)
    assert call("to_date", ["Monday 1 january 2024", None], "Day DD Month YYYY") == [dt.date(2024, 1, 1), None]


def test_moments_are_read():
    assert one("to_timestamp", "2011-12-18 23:38:15", "YYYY-MM-DD HH24:MI:SS") == moment(2011, 12, 18, 23, 38, 15)
    assert one("to_timestamp", "05 Dec 2000 12:05 AM", "DD Mon YYYY HH12:MI AM") == moment(2000, 12, 5, 0, 5)
    assert one("to_timestamp", "2000-01-01 10:00:00.5", "YYYY-MM-DD HH24:MI:SS.MS") == moment(
        2000, 1, 1, 10, 0, 0, 500_000
    )


def test_what_is_written_is_read_again():
    for _ in range(300):
        when = moment(1, 1, 1) + dt.timedelta(microseconds=chance.randrange(9998 * 365 * 86_400 * 10**6))
        template = chance.choice(
            ["YYYY-MM-DD HH24:MI:SS.US", "DD Mon YYYY HH12:MI:SS.US PM", "IYYY IW ID HH24 MI SS US", "YYYYDDD SSSSS US"]
        )
        expected = when if "SSSSS" not in template else when.replace(microsecond=0)
        assert one("to_timestamp", one("to_char", when, template), template) == expected


def test_numbers_are_read():
    assert one("to_number", "12,454.8-", "99G999D9S") == Decimal("-12454.8")
    assert one("to_number", "$ 12,454.88", "L 99G999D99") == Decimal("12454.88")
    assert one("to_number", "<42>", "99PR") == -42
    for text, template in (("abc", "999"), ("1234", "99"), ("1.2.3", "9.9")):
        with pytest.raises(QueryError):
            one("to_number", text, template)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("2023-02-30", "YYYY-MM-DD"),
        ("2023-13-01", "YYYY-MM-DD"),
        ("x", "YYYY"),
        ("Foo 1", "Mon DD"),
        ("13 PM", "HH12 PM"),
        ("2023-366", "YYYY-DDD"),
        ("2023", 'YYYY"x"'),
    ],
)
def test_what_is_no_date_is_an_error(text, template):
    with pytest.raises(QueryError):
        one("to_timestamp", text, template)


def test_unknown_templates_of_numbers_are_errors():
    for template in ("RN", "9.9EEEE", "9.9.9"):
        with pytest.raises(QueryError):
            one("to_char", 5, template)
