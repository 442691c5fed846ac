"""VGG-16 and VGG-19 without normalisation, under torchvision's parameter names."""

from typing import Literal

from torch import Tensor, nn

CONVS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five groups of 3x3 convolutions, each closed by a max pool, and three fully connected layers."""

    def __init__(self, depth: Literal[16, 19]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for convs, width in zip(CONVS[depth], WIDTHS, strict=True):
            for _ in range(convs):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out
