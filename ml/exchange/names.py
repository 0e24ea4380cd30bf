"""What the files of an export are called."""

from __future__ import annotations

ARTIFACT, PTH, PT2, ONNX = "model.safetensors", "state_dict.pth", "model.pt2", "model.onnx"
CARD, REPORT, VERSION = "MODEL_CARD.md", "export.json", "version.json"
CURVE_JSON, CURVE_CSV = "curve.json", "curve.csv"

FILES: dict[str, tuple[str, ...]] = {
    ARTIFACT: (ARTIFACT, "manifest.json"),
    PTH: (PTH,),
    PT2: (PT2,),
    ONNX: (ONNX,),
}
"""What stands and falls together, under the name that it is asked for by."""

LOADED_BY = {
    ARTIFACT: "Refit",
    PTH: "torch.load into a new module",
    PT2: "torch.export.load",
    ONNX: "onnxruntime",
}
