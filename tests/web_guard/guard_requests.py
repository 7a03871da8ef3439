"""HTTP requests as templates, hostile and honest ones."""


def request(
    method="GET", path="/api/runs", host="{host}", body=None, kind="application/json", more=()
):
    """Return a request as a template, where {host} stands for the server's own name."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [] if host is None else [f"Host: {host}"]
    if body is not None:
        lines += [] if kind is None else [f"Content-Type: {kind}"]
        if not any(line.lower().startswith(("content-length", "transfer")) for line in more):
            lines.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join([*lines, *more, "", body or ""])
