"""Makes `rules.txt`: what python-dateutil says of recurrence rules. Run it to make the table anew:

    python3 crates/schedule/tests/rules.py > crates/schedule/tests/rules.txt

`rules.py COUNT SEED` prints so many other random rules, for `cargo xtask prove oracles`.

The rules are the examples of RFC 5545, and random ones that dateutil and the standard read alike. Left out are those of
which dateutil says something else than the standard:

- BYDAY with weekdays and numbered weekdays side by side: dateutil wants both, the standard either.
- BYWEEKNO without a day: dateutil takes the whole week, the standard the weekday of DTSTART.
- BYSETPOS in the first week of a WEEKLY rule: dateutil's week begins at DTSTART, so the table asks for what follows it.
- BYWEEKNO=-52 and -53 at the end of a year, and 52 and 53 at its begin: dateutil mistakes some years for longer or shorter.
"""

import datetime
import random
import signal
import sys

from dateutil.rrule import rrulestr

FREQS = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]
DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
SHOWN = 10
LAST = datetime.datetime(2100, 12, 31, 23, 59, 59)

EXAMPLES = """
DTSTART:19970902T090000 RRULE:FREQ=DAILY;COUNT=10
DTSTART:19970902T090000 RRULE:FREQ=DAILY;UNTIL=19971224T000000
DTSTART:19970902T090000 RRULE:FREQ=DAILY;INTERVAL=2
DTSTART:19970902T090000 RRULE:FREQ=DAILY;INTERVAL=10;COUNT=5
DTSTART:19980101T090000 RRULE:FREQ=YEARLY;UNTIL=20000131T140000;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA
DTSTART:19980101T090000 RRULE:FREQ=DAILY;UNTIL=20000131T140000;BYMONTH=1
DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;COUNT=10
DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;UNTIL=19971224T000000
DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;WKST=SU
DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;UNTIL=19971007T000000;WKST=SU;BYDAY=TU,TH
DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH
DTSTART:19970901T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000;WKST=SU;BYDAY=MO,WE,FR
DTSTART:19970902T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH
DTSTART:19970905T090000 RRULE:FREQ=MONTHLY;COUNT=10;BYDAY=1FR
DTSTART:19970905T090000 RRULE:FREQ=MONTHLY;UNTIL=19971224T000000;BYDAY=1FR
DTSTART:19970907T090000 RRULE:FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU
DTSTART:19970922T090000 RRULE:FREQ=MONTHLY;COUNT=6;BYDAY=-2MO
DTSTART:19970928T090000 RRULE:FREQ=MONTHLY;BYMONTHDAY=-3
DTSTART:19970902T090000 RRULE:FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15
DTSTART:19970930T090000 RRULE:FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1
DTSTART:19970910T090000 RRULE:FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15
DTSTART:19970902T090000 RRULE:FREQ=MONTHLY;INTERVAL=2;BYDAY=TU
DTSTART:19970610T090000 RRULE:FREQ=YEARLY;COUNT=10;BYMONTH=6,7
DTSTART:19970310T090000 RRULE:FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3
DTSTART:19970101T090000 RRULE:FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200
DTSTART:19970519T090000 RRULE:FREQ=YEARLY;BYDAY=20MO
DTSTART:19970512T090000 RRULE:FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO
DTSTART:19970313T090000 RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=TH
DTSTART:19970605T090000 RRULE:FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8
DTSTART:19970902T090000 EXDATE:19970902T090000 RRULE:FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13
DTSTART:19970913T090000 RRULE:FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13
DTSTART:19961105T090000 RRULE:FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8
DTSTART:19970904T090000 RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3
DTSTART:19970929T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2
DTSTART:19970902T090000 RRULE:FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000
DTSTART:19970902T090000 RRULE:FREQ=MINUTELY;INTERVAL=15;COUNT=6
DTSTART:19970902T090000 RRULE:FREQ=MINUTELY;INTERVAL=90;COUNT=4
DTSTART:19970902T090000 RRULE:FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40
DTSTART:19970902T090000 RRULE:FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16
DTSTART:19970805T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO
DTSTART:19970805T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU
DTSTART:20070115T090000 RRULE:FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5
DTSTART:20240131T120000 RRULE:FREQ=MONTHLY
DTSTART:20240229T120000 RRULE:FREQ=YEARLY
DTSTART:20240229T120000 RRULE:FREQ=YEARLY;INTERVAL=4
DTSTART:20000101T000000 RRULE:FREQ=YEARLY;BYYEARDAY=366
DTSTART:20000101T000000 RRULE:FREQ=YEARLY;BYYEARDAY=-1,-366
DTSTART:20000101T000000 RRULE:FREQ=YEARLY;BYWEEKNO=53;BYDAY=FR
DTSTART:20000101T000000 RRULE:FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO,SU
DTSTART:20000101T000000 RRULE:FREQ=YEARLY;BYDAY=-1SU,53SA
DTSTART:20000101T000000 RRULE:FREQ=SECONDLY;INTERVAL=7;BYMINUTE=59;BYHOUR=23;BYMONTHDAY=-1
DTSTART:20000101T000000 RRULE:FREQ=DAILY;BYHOUR=0,6,12;BYMINUTE=0,30;BYSETPOS=1,-1
DTSTART:20000101T000000 RRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1
DTSTART:20000103T000000 RRULE:FREQ=WEEKLY;BYDAY=MO,WE,FR;BYHOUR=8,16;BYSETPOS=2,-1
DTSTART:20000101T000000 RRULE:FREQ=HOURLY;INTERVAL=5;BYMINUTE=10,20,30;BYSETPOS=2
DTSTART:20000101T000000 RDATE:20000102T120000,19991231T120000 EXDATE:20000104T000000 RRULE:FREQ=DAILY;COUNT=5
""".split("\n")


def some(chance, values, most):
    return chance.sample(values, chance.randint(1, min(most, len(values))))


def signed(values):
    return values + [-value for value in values]


def day_parts(chance, freq, parts):
    """What names days, as far as the standard allows it beside the frequency."""
    if chance.random() < 0.4:
        parts["BYMONTH"] = some(chance, list(range(1, 13)), 4)
    if freq == "YEARLY" and chance.random() < 0.2:
        parts["BYWEEKNO"] = some(chance, [week for week in signed(list(range(1, 54))) if abs(week) < 52], 4)
        parts["BYDAY"] = some(chance, DAYS, 3)
        return
    if freq in ("YEARLY", "HOURLY", "MINUTELY", "SECONDLY") and chance.random() < 0.2:
        parts["BYYEARDAY"] = some(chance, signed(list(range(1, 367))), 6)
    if freq != "WEEKLY" and chance.random() < 0.3:
        parts["BYMONTHDAY"] = some(chance, signed(list(range(1, 32))), 5)
    if chance.random() < 0.5:
        numbered = freq in ("YEARLY", "MONTHLY") and chance.random() < 0.5
        most = 5 if freq == "MONTHLY" or "BYMONTH" in parts else 53
        nth = lambda day: f"{chance.choice(signed(list(range(1, most + 1))))}{day}"
        parts["BYDAY"] = [nth(day) if numbered else day for day in some(chance, DAYS, 4)]


def random_rule(chance):
    freq = chance.choice(FREQS)
    parts = {}
    if chance.random() < 0.5:
        parts["INTERVAL"] = [chance.choice([1, 2, 3, 4, 5, 7, 11, 12, 15, 24, 40, 90])]
    day_parts(chance, freq, parts)
    for name, last in (("BYHOUR", 23), ("BYMINUTE", 59), ("BYSECOND", 59)):
        if chance.random() < 0.25:
            parts[name] = some(chance, list(range(last + 1)), 4)
    if any(name.startswith("BY") for name in parts) and chance.random() < 0.3:
        parts["BYSETPOS"] = some(chance, signed([1, 2, 3, 5, 8]), 3)
    if chance.random() < 0.3:
        parts["WKST"] = [chance.choice(DAYS)]
    start = datetime.datetime(1990, 1, 1) + datetime.timedelta(seconds=chance.randrange(40 * 365 * 86_400))
    end = chance.random()
    if end < 0.2:
        parts["COUNT"] = [chance.randint(1, 30)]
    elif end < 0.4:
        parts["UNTIL"] = [(start + datetime.timedelta(days=chance.randrange(1, 5_000))).strftime("%Y%m%dT%H%M%S")]
    names = list(parts)
    chance.shuffle(names)
    text = ";".join([f"FREQ={freq}"] + [f"{name}={','.join(map(str, parts[name]))}" for name in names])
    return f"DTSTART:{start:%Y%m%dT%H%M%S} RRULE:{text}"


class TooSlow(Exception):
    """dateutil walks through hours, minutes and seconds one by one."""


def too_slow(*_):
    raise TooSlow


def times(text, after, count, seconds):
    """The times after one, and whether these are all until 2100; none if dateutil needs longer for them."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    found = []
    try:
        for time in rrulestr(text.replace(" ", "\n"), forceset=True):
            if time > LAST:
                break
            if time > after:
                found.append(time)
            if len(found) == count:
                return found, False
        return found, True
    except (TooSlow, ValueError):
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def begin(text):
    return datetime.datetime.strptime(text.split("DTSTART:")[1][:15], "%Y%m%dT%H%M%S")


def row(text, chance, seconds=1.0):
    start = begin(text)
    after = start - datetime.timedelta(days=2)
    if "FREQ=WEEKLY" in text and "BYSETPOS" in text:
        after = start + datetime.timedelta(days=7)
    elif chance.random() < 0.3:
        after = start + datetime.timedelta(seconds=chance.randrange(3 * 365 * 86_400))
    try:
        result = times(text, after, SHOWN, seconds)
    except TooSlow:
        # The time was over while the clock was being stopped.
        return None
    if result is None:
        return None
    found, all_of_them = result
    shown = [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in found] + (["none"] if all_of_them else [])
    return f"{text} | {after:%Y-%m-%dT%H:%M:%SZ} | {' '.join(shown)}"


def random_rows(count, chance, seconds):
    while count > 0:
        rule = random_rule(chance)
        line = row(rule, chance, seconds)
        # What is counted from another first week on ends elsewhere.
        counted = all(part in rule for part in ("FREQ=WEEKLY", "BYSETPOS", "COUNT"))
        if line and not line.endswith("| none") and not counted:
            print(line)
            count -= 1


def main():
    signal.signal(signal.SIGVTALRM, too_slow)
    if len(sys.argv) == 3:
        random_rows(int(sys.argv[1]), random.Random(int(sys.argv[2])), 0.05)
        return
    chance = random.Random(5545)
    print("## Made by rules.py from what python-dateutil says: rule | after | the times that follow. A final \"none\" says that no more come.")
    print("\n## Examples of RFC 5545, and some more")
    for text in filter(None, EXAMPLES):
        print(row(text, chance, seconds=20.0))
    print("\n## Random ones")
    random_rows(400, chance, 1.0)


if __name__ == "__main__":
    main()
