"""Which values of a label map count as bone, from cohort.foreground and cohort.background."""


def foreground(named: list[int] | list[str]) -> list[int]:
    """Return the label values that count as foreground: names of files stand for 1, 2, ... in their order.

    named: cohort.foreground.
    """
    return [i if isinstance(name, str) else name for i, name in enumerate(named, start=1)]


def background(named: list[int] | list[str], values: list[int]) -> list[int]:
    """Return the label values that count as background; 0 alone where the foreground is named by files.

    named, values: cohort.foreground and cohort.background.
    """
    return [0] if isinstance(named[0], str) else list(values)
