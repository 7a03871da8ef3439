"""A server that stands for Hugging Face in tests: it takes the requests of an upload and keeps what it gets."""

import base64
import hashlib
import json
import os
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer(ThreadingHTTPServer):
    """A hub at `url`, whose repositories exist only here.

    Attributes:
        token: the token that a request must have.
        visibility: the visibility of each created repository, by name.
        commits: the files of each commit: its repository, and the bytes of each file by name.
    """

    def __init__(self, token="hf_test"):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.token, self.visibility, self.commits, self.objects = token, {}, [], {}

    def create(self, about):
        """Create a repository, or leave it as it is, and return its address.

        Later versions of huggingface_hub say `visibility`, earlier ones `private`.
        """
        name = f"{about['organization']}/{about['name']}"
        status = 409 if name in self.visibility else 200
        visibility = about.get("visibility") or ("private" if about["private"] else "public")
        self.visibility.setdefault(name, visibility)
        return status, {"url": f"{self.url}/{name}", "id": name}

    def modes(self, about):
        """Say how each file must be sent: large ones as objects, others in the commit."""
        return 200, {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in about["files"]
            ]
        }

    def batch(self, about):
        """Say where each object must be sent."""
        return 200, {
            "transfer": "basic",
            "objects": [
                {**one, "actions": {"upload": {"href": f"{self.url}/objects/{one['oid']}"}}}
                for one in about["objects"]
            ],
        }

    def commit(self, repository, lines):
        """Keep the files of a commit."""
        files = {}
        for line in map(json.loads, lines.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
        self.commits.append((repository, files))
        url = f"{self.url}/{repository}/commit/{COMMIT}"
        return 200, {"success": True, "commitOid": COMMIT, "commitUrl": url}


class HubHandler(BaseHTTPRequestHandler):
    """Answers one request to a `HubServer`."""

    def log_message(self, *arguments):
        """Print nothing."""

    def body(self):
        """Return the bytes of the request's body, which may come in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self):
        """Do what a request asks for, and answer it."""
        body, path = self.body(), self.path.strip("/").split("/")
        if path[0] == "objects":
            self.server.objects[hashlib.sha256(body).hexdigest()] = body
            status, value = 200, {}
        elif self.headers.get("Authorization") != f"Bearer {self.server.token}":
            status, value = 401, {"error": "Invalid username or password."}
        elif path == ["api", "repos", "create"]:
            status, value = self.server.create(json.loads(body))
        elif path == ["api", "validate-yaml"]:
            status, value = 200, {"warnings": [], "errors": []}
        elif path[4:5] == ["preupload"]:
            status, value = self.server.modes(json.loads(body))
        elif path[-3:] == ["lfs", "objects", "batch"]:
            status, value = self.server.batch(json.loads(body))
        elif path[4:5] == ["commit"]:
            status, value = self.server.commit("/".join(path[2:4]), body)
        else:
            status, value = 200, {"id": "/".join(path[2:4]), "sha": COMMIT, "siblings": []}
        self.send(status, value)

    def send(self, status, value):
        """Send a status and a JSON value."""
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = answer


def hub_environment(url, folder, token="hf_test"):
    """Return the environment of a process that uploads to the hub at `url`, with its files in `folder`.

    The library reads these variables when it is imported. Without HF_HUB_DISABLE_XET, it sends large files to another
    service with a protocol of its own.
    """
    settings = {
        "HF_ENDPOINT": url, "HF_TOKEN": token, "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    return {**os.environ, **settings}


@contextmanager
def hub_server():
    """Start a `HubServer`, yield it, and stop it."""
    server = HubServer()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
