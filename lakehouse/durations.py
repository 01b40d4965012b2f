"""How long something takes, in one short word for people."""


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``5 min``, ``3.5 h``, ``2.1 d``"""
    if seconds < 1:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
