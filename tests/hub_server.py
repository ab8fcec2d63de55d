"""A stand-in of the Hugging Face hub on loopback: the endpoints its client needs for model files.

Repositories with branches and commits, private ones, tokens that may read or write, large files by
git LFS. What it answers is what the client checks for (``huggingface_hub.utils._http``).
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

WRITE_TOKEN, READ_TOKEN = "hf_may_write", "hf_may_read"
OWNER = "someone"

Files = dict[str, bytes]


@dataclass
class Repo:
    """A model's repository."""

    private: bool = False
    commits: dict[str, Files] = field(default_factory=dict[str, Files])
    branches: dict[str, str] = field(default_factory=dict[str, str])

    def commit(self, files: Files, branch: str = "main") -> str:
        """Files on top of a branch's; the new commit's id."""
        before = self.commits.get(self.branches.get(branch, ""), {})
        sha = hashlib.sha1(f"{branch}{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = before | files
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch or a commit."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class Hub:
    """What the server knows, and the requests that it got."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.large: Files = {}
        self.requests: list[str] = []
        self.endpoint = ""

    def add(self, repo_id: str, files: Files, *, private: bool = False) -> Repo:
        """A repository that is there already."""
        repo = self.repos[repo_id] = Repo(private=private)
        repo.commit(files)
        return repo


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str = "", message: str = "", **more: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def _run(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        try:
            for method, pattern, action in _ROUTES:
                match = re.fullmatch(pattern, path)
                if match and self.command in method.split():
                    action(self, body, **match.groupdict())
                    return
            raise RefusedError(404, "", f"no such endpoint: {self.command} {path}")
        except RefusedError as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            body = json.dumps({"error": refused.message} | refused.more).encode()
            self._send(body, refused.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = _run  # noqa: N815 - the names are http.server's

    def _send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, answer: object) -> None:
        self._send(json.dumps(answer).encode(), headers={"Content-Type": "application/json"})

    def _url(self, repo: str) -> str:
        return f"{self.hub.endpoint}/{repo}"

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _may_write(self) -> None:
        if self._token() not in (WRITE_TOKEN, READ_TOKEN):
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        if self._token() == READ_TOKEN:
            raise RefusedError(403, "", "You have read access only")

    def _repo(self, repo: str) -> Repo:
        found = self.hub.repos.get(repo)
        if found is None or (found.private and self._token() not in (WRITE_TOKEN, READ_TOKEN)):
            raise RefusedError(
                404 if self._token() else 401, "RepoNotFound", "Repository not found"
            )
        return found

    def _commit(self, repo: str, rev: str) -> tuple[str, Files]:
        found = self._repo(repo)
        sha = found.resolve(rev)
        if sha is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        return sha, found.commits[sha]

    def create(self, body: bytes) -> None:
        self._may_write()
        asked = json.loads(body)
        repo_id = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if repo_id in self.hub.repos:
            raise RefusedError(
                409, "", "You already created this model repo", url=self._url(repo_id)
            )
        if repo_id.split("/")[0] != OWNER:
            raise RefusedError(403, "", f"no rights under the namespace {repo_id.split('/')[0]}")
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.add(repo_id, {".gitattributes": b"*.safetensors filter=lfs"}, private=private)
        self._json({"url": self._url(repo_id), "name": repo_id})

    def info(self, _body: bytes, repo: str, rev: str | None = None) -> None:
        sha, files = self._commit(repo, rev or "main")
        self._json({"id": repo, "sha": sha, "private": self.hub.repos[repo].private, "tags": [],
                    "siblings": [{"rfilename": name} for name in files]})  # fmt: skip

    def tree(self, _body: bytes, repo: str, rev: str) -> None:
        _, files = self._commit(repo, rev)
        self._json([
            {"type": "file", "path": name, "size": len(content), "oid": _git_oid(content)}
            for name, content in files.items()
        ])  # fmt: skip

    def file(self, _body: bytes, repo: str, rev: str, name: str) -> None:
        sha, files = self._commit(repo, rev)
        if name not in files:
            raise RefusedError(404, "EntryNotFound", f"no {name}")
        content = files[name]
        self._send(content, headers={"ETag": f'"{_git_oid(content)}"', "X-Repo-Commit": sha})

    def preupload(self, body: bytes, repo: str, rev: str) -> None:
        self._may_write()
        self._commit(repo, rev)
        paths = [file["path"] for file in json.loads(body)["files"]]
        self._json({"files": [
            {"path": path, "uploadMode": "lfs" if path.endswith(".safetensors") else "regular",
             "shouldIgnore": False} for path in paths
        ]})  # fmt: skip

    def batch(self, body: bytes, repo: str) -> None:
        self._may_write()
        self._repo(repo)
        self._json({"transfer": "basic", "objects": [
            {"oid": one["oid"], "size": one["size"],
             "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]})  # fmt: skip

    def upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise RefusedError(400, "", "other bytes than announced")
        self.hub.large[oid] = body
        self._send(b"")

    def commit(self, body: bytes, repo: str, rev: str) -> None:
        self._may_write()
        self._commit(repo, rev)
        files: Files = {}
        for item in map(json.loads, body.splitlines()):
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        sha = self.hub.repos[repo].commit(files, rev)
        self._json({"commitUrl": f"{self._url(repo)}/commit/{sha}", "commitOid": sha})

    def branch(self, _body: bytes, repo: str, name: str) -> None:
        self._may_write()
        found = self._repo(repo)
        if name in found.branches:
            raise RefusedError(409, "", "branch exists")
        found.branches[name] = found.branches["main"]
        self._json({})

    def yaml(self, body: bytes) -> None:
        has_front_matter = json.loads(body)["content"].startswith("---\n")
        errors = [] if has_front_matter else [{"message": "no front matter"}]
        self._json({"errors": errors, "warnings": []})


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.yaml),
    ("GET", f"/api/models/{_REPO}", _Handler.info),
    ("GET", rf"/api/models/{_REPO}/revision/(?P<rev>.+)", _Handler.info),
    ("GET", rf"/api/models/{_REPO}/tree/(?P<rev>[^/]+)", _Handler.tree),
    ("POST", rf"/api/models/{_REPO}/preupload/(?P<rev>.+)", _Handler.preupload),
    ("POST", rf"/api/models/{_REPO}/commit/(?P<rev>.+)", _Handler.commit),
    ("POST", rf"/api/models/{_REPO}/branch/(?P<name>.+)", _Handler.branch),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/lfs/(?P<oid>\w+)", _Handler.upload),
    ("GET HEAD", rf"/{_REPO}/resolve/(?P<rev>[^/]+)/(?P<name>.+)", _Handler.file),
)


@contextmanager
def serve_hub() -> Generator[Hub]:
    """A hub that answers at ``hub.endpoint`` until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
