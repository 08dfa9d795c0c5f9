"""What NVML returns for each model beyond its profile table.

Names as nvmlDeviceGetName gives them; power limits in watts from the products' data sheets.
"""

from __future__ import annotations

from dataclasses import dataclass

from solver.model.geometry import GpuModel


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model.

    pci_device  device and vendor id
    linked      how many of them NVLink connects in one machine, through switches or bridges; 1: none
    """

    name: str
    pci_device: int
    power_w: int
    linked: int = 1


MODEL_FACTS = {
    "A30": ModelFacts("NVIDIA A30", 0x20B710DE, 165),
    "A100-40GB": ModelFacts("NVIDIA A100-SXM4-40GB", 0x20B010DE, 400, 16),
    "A100-80GB": ModelFacts("NVIDIA A100-SXM4-80GB", 0x20B210DE, 400, 16),
    "H100-80GB": ModelFacts("NVIDIA H100 80GB HBM3", 0x233010DE, 700, 8),
    "H100-NVL-94GB": ModelFacts("NVIDIA H100 NVL", 0x232110DE, 400, 2),
    "H100-96GB": ModelFacts("NVIDIA GH200 480GB", 0x234210DE, 900),
    "H20-96GB": ModelFacts("NVIDIA H20", 0x232910DE, 500, 8),
    "GH200-144GB": ModelFacts("NVIDIA GH200 144G HBM3e", 0x234810DE, 900),
    "H200-141GB": ModelFacts("NVIDIA H200", 0x233510DE, 700, 8),
    "B200-180GB": ModelFacts("NVIDIA B200", 0x290110DE, 1000, 8),
    "GB200-186GB": ModelFacts("NVIDIA GB200", 0x294110DE, 1200, 4),
    "B300": ModelFacts("NVIDIA B300 SXM6 AC", 0x318210DE, 1100, 8),
    "GB300": ModelFacts("NVIDIA GB300", 0x31C210DE, 1400, 4),
    "RTX-PRO-6000-BSE": ModelFacts("NVIDIA RTX PRO 6000 Blackwell Server Edition", 0x2BB510DE, 600),
    "A10": ModelFacts("NVIDIA A10", 0x223610DE, 150),
    "A40": ModelFacts("NVIDIA A40", 0x223510DE, 300),
    "L4": ModelFacts("NVIDIA L4", 0x27B810DE, 72),
    "L40S": ModelFacts("NVIDIA L40S", 0x26B910DE, 350),
    "P100": ModelFacts("Tesla P100-PCIE-16GB", 0x15F810DE, 250),
    "T4": ModelFacts("Tesla T4", 0x1EB810DE, 70),
    "V100": ModelFacts("Tesla V100-SXM2-16GB", 0x1DB110DE, 300, 8),
    "V100-32GB": ModelFacts("Tesla V100-SXM2-32GB", 0x1DB510DE, 300, 16),
}

# architecture in the catalog -> (NVML_DEVICE_ARCH_*, CUDA compute capability)
ARCHITECTURES = {
    "Pascal": (4, (6, 0)),
    "Volta": (5, (7, 0)),
    "Turing": (6, (7, 5)),
    "Ampere": (7, (8, 0)),
    "Ada": (8, (8, 9)),
    "Hopper": (9, (9, 0)),
    "Blackwell": (10, (10, 0)),
}


def architecture(model: GpuModel) -> tuple[int, tuple[int, int]]:
    """NVML_DEVICE_ARCH_* and CUDA compute capability."""
    return ARCHITECTURES[model.architecture.split()[0]]


def mig_mode_survives_reboot(model: GpuModel) -> bool:
    """Ampere keeps the mode in the GPU's InfoROM; later ones only while the driver is loaded.

    Source: NVIDIA MIG User Guide, "Enable MIG Mode".
    """
    return model.architecture == "Ampere"


def simulatable(model: GpuModel) -> bool:
    """Whether the model's placements are published: those of a few are known to their own driver only."""
    return model.id in MODEL_FACTS
