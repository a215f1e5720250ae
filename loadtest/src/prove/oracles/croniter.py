"""Answers what croniter says: a line of JSON in, [spec, after, count], a line of times out. All in UTC."""

import json
import sys

from croniter import CroniterBadDateError, croniter

for line in sys.stdin:
    spec, after, count = json.loads(line)
    times = []
    try:
        walk = croniter(spec, after, day_or=False, second_at_beginning=True, max_years_between_matches=40)
        while len(times) < count:
            times.append(int(walk.get_next(float)))
    except CroniterBadDateError:
        pass
    print(json.dumps(times), flush=False)
