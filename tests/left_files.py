"""What a download leaves where a model's file should be (cases.md, B03)."""

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1234567\n"
LEFT: dict[str, tuple[bytes, str]] = {
    "lfs": (LFS, "Git LFS pointer, not the file of 1,234,567 bytes: fetch it with `git lfs pull`"),
    "old lfs": (b"version https://hawser.github.com/spec/v1\n", "Git LFS pointer"),
    "annex": (b"/annex/objects/SHA256E-s4--a.pth\n", "git annex get"),
    "html": (b"\n <HTML><body>Access denied", "HTML page"),
    "html after a mark": (b"\xef\xbb\xbf<!DOCTYPE html>", "HTML page"),
    "html in utf-16": ("\ufeff<html>".encode("utf-16-le"), "HTML page"),
    "html after a comment": (b"<!-- proxy --><html>", "HTML page"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML page"),
    "text": (b"Entry not found", "is a text, not weights: it begins 'Entry not found'"),
    "json": (b'{"error":"Invalid username or password."}', "is a text, not weights"),
    "cut text": (b"Zugriff verweigert: " + "ü".encode() * 300, "is a text"),
    "empty": (b"", "is empty"),
}
"""What a download leaves in a file's place, and what is said of it."""
