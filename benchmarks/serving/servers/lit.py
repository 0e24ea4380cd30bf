"""LitServe: `python lit.py PORT`."""

import sys

import litserve as ls
from line import Line


class LineApi(ls.LitAPI):
    def setup(self, device):
        self.line = Line()

    def decode_request(self, request):
        return request["x"]

    def predict(self, x):
        return self.line(x)

    def encode_response(self, output):
        return {"y": output}


if __name__ == "__main__":
    server = ls.LitServer(LineApi(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
