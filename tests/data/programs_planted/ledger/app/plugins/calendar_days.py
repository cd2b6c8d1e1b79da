"""On which day of the week something was."""

NAME = "weekday_of"
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
FREE = {"Sun"}


def run(claim):
    day = DAYS[claim.day.weekday()]
    return {"day": day, "free": day in FREE}
