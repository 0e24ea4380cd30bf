"""Plain FastAPI routes, as its documentation writes them: pydantic in and out."""

from fastapi import FastAPI
from line import Line
from pydantic import BaseModel

app = FastAPI()
line = Line()


class Asked(BaseModel):
    x: float


class Answered(BaseModel):
    y: float


@app.post("/async")
async def predict_async(asked: Asked) -> Answered:
    return Answered(y=line(asked.x))


@app.post("/def")
def predict(asked: Asked) -> Answered:
    return Answered(y=line(asked.x))
