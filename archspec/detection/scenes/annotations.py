"""Pictures with boxes, and the columns in which a set of them is kept. Labels count from 0, without a background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archspec.data.reading import damaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from archspec.data.order import Indices
    from archspec.data.sets import Paths

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Bytes = NDArray[np.uint8]

Id = int | str
_LEAST = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Objects, in columns.

    `boxes` (n, 4): x1, y1, x2, y2 in pixels, from the picture's top left corner; the first pixel's box is 0, 0, 1, 1.
    `area`: pixels of the object itself where the set says it, else of its box. A `crowd` is many objects in one box.
    """

    boxes: Floats
    labels: Labels
    difficult: Flags
    crowd: Flags
    area: Floats

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, rows: Sequence[tuple[Sequence[float], int, bool, bool, float]] = ()) -> Objects:
        """From rows of box, label, difficult, crowd and area."""
        import numpy as np

        boxes, labels, difficult, crowd, area = zip(*rows, strict=True) if rows else ((),) * 5
        return cls(
            np.array(boxes, np.float64).reshape(-1, 4),
            np.array(labels, np.int64),
            np.array(difficult, bool),
            np.array(crowd, bool),
            np.array(area, np.float64),
        )

    def part(self, which: slice | Flags | Indices) -> Objects:
        """Some of the objects."""
        return Objects(
            self.boxes[which], self.labels[which], self.difficult[which], self.crowd[which], self.area[which]
        )


def joined(parts: Sequence[Objects]) -> Objects:
    """Objects of several, one after another."""
    import numpy as np

    if not parts:
        return Objects.of()
    return Objects(
        np.concatenate([each.boxes for each in parts]),
        np.concatenate([each.labels for each in parts]),
        np.concatenate([each.difficult for each in parts]),
        np.concatenate([each.crowd for each in parts]),
        np.concatenate([each.area for each in parts]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """A picture and its objects. `picture` is a path, or pixels (H, W, 3); `size` is (H, W) in pixels."""

    picture: str | Bytes
    image_id: Id
    size: tuple[int, int]
    objects: Objects

    @property
    def boxes(self) -> Floats:
        """(n, 4): x1, y1, x2, y2."""
        return self.objects.boxes

    @property
    def labels(self) -> Labels:
        """(n,): from 0."""
        return self.objects.labels

    def pixels(self) -> Bytes:
        """The same as bytes, (H, W, 3)."""
        import numpy as np

        return np.asarray(self.decoded())

    def decoded(self) -> Image:
        """The picture in RGB, the way up that its boxes are drawn on. Raises `FileError`: AS532."""
        from PIL import Image

        if not isinstance(self.picture, str):
            return Image.fromarray(self.picture)
        return _decoded(self.picture, self.size)


def _decoded(file: str, size: tuple[int, int]) -> Image:
    """Upright, unless the annotations are about the picture as it lies."""
    from archspec.data import pictures
    from archspec.deploy.pictures import read_picture
    from archspec.preprocessing import colored

    picture = pictures.decoded(file, 3)
    if (picture.height, picture.width) == size:
        return picture
    lying = read_picture(file)
    if (lying.height, lying.width) == size:
        return colored(lying, "RGB")
    raise damaged(
        file, f"{picture.width}x{picture.height} pixels, but its annotations are for {size[1]}x{size[0]}"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """Pictures with objects. `pictures` are paths, or pixels (N, H, W, 3); `sizes` (N, 2): H, W.

    `objects` are those of all pictures, one after another, and `ends` (N + 1) is where each picture's begin.
    `category_ids` are the numbers that the set's own files have for the classes. `remarks` are what was mended.
    """

    name: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    pictures: Paths | Bytes | Sequence[str]
    image_ids: tuple[Id, ...]
    sizes: Labels
    objects: Objects
    ends: Labels
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def answers(self) -> tuple[NDArray[Any], ...]:
        """What is to be found in them."""
        return (self.sizes, self.ends, self.objects.labels, self.objects.boxes)

    def __iter__(self) -> Iterator[Annotated]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> Annotated:
        if not 0 <= place < len(self):
            raise IndexError(place)
        height, width = self.sizes[place]
        inside = slice(int(self.ends[place]), int(self.ends[place + 1]))
        picture: Any = self.pictures[place]
        size = int(height), int(width)
        return Annotated(picture, self.image_ids[place], size, self.objects.part(inside))

    def part(self, indices: Indices | slice) -> Scenes:
        """Some of the pictures, in that order."""
        import numpy as np

        chosen = np.arange(len(self))[indices]
        counts = np.diff(self.ends)[chosen]
        starts, ends = self.ends[chosen], _ends(counts)
        within = np.arange(ends[-1]) - np.repeat(ends[:-1], counts) + np.repeat(starts, counts)
        return replace(
            self,
            pictures=_part(self.pictures, chosen),
            image_ids=tuple(self.image_ids[each] for each in chosen),
            sizes=self.sizes[chosen],
            objects=self.objects.part(within),
            ends=ends,
        )

    def to_learn(self, *, difficult: bool = False) -> Scenes:
        """What a detector learns from: no crowds, difficult objects if asked for, no pictures without objects.

        Nor boxes of less than a hundredth of a pixel: in float32, and resized, nothing is left of them.
        """
        import numpy as np

        kept = ~self.objects.crowd if difficult else ~(self.objects.crowd | self.objects.difficult)
        kept &= (self.objects.boxes[:, 2:] - self.objects.boxes[:, :2] >= _LEAST).all(axis=1)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
        fewer = replace(self, objects=self.objects.part(kept), ends=before[self.ends])
        return fewer.part(np.flatnonzero(np.diff(fewer.ends)))


@dataclass(frozen=True, slots=True)
class Splits:
    """What a detector is trained on, what its settings are chosen by, and what it is tested on."""

    train: Scenes
    validation: Scenes | None
    test: Scenes | None
    """None where the objects of the test pictures are not published."""
    unjudged: Scenes | None = None
    """Test pictures whose objects are not published: only their set's server can judge what is found in them."""


def together(name: str, parts: Sequence[Scenes]) -> Scenes:
    """Scenes of several sets with equal classes, one after another; all lie in files."""
    import numpy as np

    assert len({each.classes for each in parts}) == 1
    return replace(
        parts[0],
        name=name,
        pictures=[str(each.pictures[place]) for each in parts for place in range(len(each))],
        image_ids=tuple(image_id for each in parts for image_id in each.image_ids),
        sizes=np.concatenate([each.sizes for each in parts]),
        objects=joined([each.objects for each in parts]),
        ends=_ends(np.concatenate([np.diff(each.ends) for each in parts])),
        remarks=tuple(remark for each in parts for remark in each.remarks),
    )


def _ends(counts: NDArray[Any]) -> Labels:
    import numpy as np

    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _part(pictures: Any, chosen: Indices) -> Any:
    import numpy as np

    if isinstance(pictures, np.ndarray):
        return pictures[chosen]
    if isinstance(pictures, list | tuple):
        return [pictures[each] for each in chosen]
    return pictures.part(chosen)
