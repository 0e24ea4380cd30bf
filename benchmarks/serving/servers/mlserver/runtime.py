"""MLServer's custom runtime (Open Inference Protocol)."""

import numpy as np
from line import Line
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class LineRuntime(MLModel):
    async def load(self) -> bool:
        self.line = Line()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        y = np.array([[self.line(float(x[0, 0]))]], dtype=np.float32)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
