"""The baseline: an ASGI application without a model, that reads the body and answers a constant.

`POST /bytes/N` answers N bytes.
"""

ANSWER = b'{"y":[0.65091],"model":"default","version":1}'


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    answer = ANSWER
    if scope["path"].startswith("/bytes/"):
        answer = b"0" * int(scope["path"].rpartition("/")[2])
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
