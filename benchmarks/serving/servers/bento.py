"""BentoML: one worker of one service."""

import bentoml
from line import Line


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class LineService:
    def __init__(self) -> None:
        self.line = Line()

    @bentoml.api
    async def predict(self, x: float) -> float:
        return self.line(x)
