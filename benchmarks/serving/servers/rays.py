"""Ray Serve: `python rays.py PORT`; one replica behind one proxy."""

import signal
import sys

import ray
from line import Line
from ray import serve
from starlette.requests import Request


@serve.deployment(
    num_replicas=1, max_ongoing_requests=100, logging_config={"enable_access_log": False}
)
class LineDeployment:
    def __init__(self) -> None:
        self.line = Line()

    async def __call__(self, request: Request) -> dict[str, float]:
        asked = await request.json()
        return {"y": self.line(asked["x"])}


if __name__ == "__main__":
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 1024**2,
    )
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])},
        logging_config={"enable_access_log": False},
    )
    serve.run(LineDeployment.bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
