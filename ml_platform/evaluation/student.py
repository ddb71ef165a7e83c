"""Student's distribution: how wide an interval of few groups is."""


def quantile(freedom: int, share: float) -> float:
    """The value that a share of Student's distribution, with these degrees of freedom, lies below."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
