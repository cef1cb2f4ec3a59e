from typing_extensions import Buffer

def shuffle(items: Buffer, planes: Buffer, itemsize: int, /) -> None:
    """Put the bytes of the items into planes, which take as many bytes.

    Raises ValueError if either holds no whole items. Other threads run meanwhile.
    """

def unshuffle(planes: Buffer, items: Buffer, itemsize: int, /) -> None:
    """Fill the items, which may be fewer than the planes hold; raises as `shuffle`."""
