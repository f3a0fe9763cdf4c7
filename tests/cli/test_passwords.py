"""However oddly it is spelled, no password is told or written down."""

import pytest

from downloader.cli import main

pytestmark = pytest.mark.usefixtures("workdir")
SECRET = "hunter2"
# Nobody listens there.
HOST = "127.0.0.1:1"
SPELLINGS = [
    *["http://u:{}@" + HOST, "HTTP://u:{}@" + HOST + "/", "http://u:{}@@" + HOST],
    *["http://u:p%2F{}@" + HOST, "http://u:p:{}@" + HOST, "http://u@v:{}@" + HOST],
    *["http://u%3A{}@" + HOST, "http://ü:ř{}@" + HOST, "http://:{}@" + HOST],
    *[
        "http://u:{}@[::1]:1/",
        "http://u:{}@[::1/",
        "http://[u:{}@" + HOST,
        "ftp://u:{}@h",
    ],
    *["http://u:p/{}@h/", "http://u:{}#p@h/", "http://u:{}?@h/"],
    *["http://u:{}@h:999999/", "//u:{}@h:999999/", "//u:{}@h/", "u:{}@h/x", "u:{}@"],
    *["http:/u:{}@h/", "https:u:{}@h", "https//u:{}@h/", "http:///u:{}@h/"],
    *["http:\\\\u:{}@h\\x", "http://u:{}\\@h/", "\\\\u:{}@h"],
    *[
        "http://u:{}@h x/",
        "http://u:p {}@h /",
        "http://u:{} p@" + HOST,
        "x http://u:{}@h/",
    ],
    *["ht\ttp://u:{}@h/", "http://u:{}@a\tb/", "\x01http://u:{}@h/", "<http://u:{}@>"],
    *["http://u:{}%40h/", "http://u:{}\uff20h/", "javascript:f('u:{}@h')", "'u:{}@h'"],
    *["ssh+git://u:{}@h/", "mailto:u:{}@h", "data:,u:{}@h", "\ufffdu:{}@h", "u {}@h"],
    *["http://a@b:{}@é\ud7ff..h/", "http://u:{}@1.2.3.256/", "http://u:{}@*/"],
    *["ftp-passwd={}", 'header="Authorization: Basic {}"', "all-proxy=u:p {}@h"],
    "http://u:{}@h/" + "x" * 17_000,
]


def written(workdir):
    """All that a run has written, and the names of its files."""
    files = [path for path in workdir.rglob("*") if path.name != "urls.txt"]
    texts = [path.read_bytes() for path in files if path.is_file()]
    return b"\n".join([*(str(path).encode() for path in files), *texts])


def test_no_password_in_an_odd_line_is_told(workdir, capfd):
    lines = [spelling.format(SECRET) for spelling in SPELLINGS]
    (workdir / "urls.txt").write_text("\n".join(lines))
    flags = ["-v", "-s", "serial", "--retries", "0", "--report", "report.json"]
    main(["fetch", "urls.txt", *flags])
    report = (workdir / "report.json").read_text()

    assert report.count("urls.txt:") > len(SPELLINGS) / 2
    assert SECRET not in "".join(capfd.readouterr())
    assert SECRET.encode() not in written(workdir)


@pytest.mark.parametrize(
    "argv",
    [
        ["fetch", "//u:{}@h/"],
        ["fetch", "u:{}@h/"],
        ["fetch", "//u:p {}@h/"],
        ["fetch", "urls.txt", "--checksums", "sums.txt"],
        ["http://u:p {}@h/"],
        ["--proxy=http://u:p {}@h/"],
        ["fetch", "x", "--report", "http://u:p {}@h", "--report", "r.json"],
        ["fetch", "x", "--proxy", "me:{}@h:1"],
        ["fetch", "x", "--proxy", "http://me:p {}@h:1"],
        ["fetch", "x", "--proxy", "http://me:{}%40h:1"],
        ["fetch", "x", "--proxy", "socks4://me:{}@h:1"],
        ["fetch", "x", "--pro=http://me:p {}@h:1"],
        ["fetch", "x", "-o", "urls.txt", "-H", "http://me:{}@h"],
    ],
)
def test_no_password_in_a_bad_argument_is_told(argv, workdir, capfd):
    (workdir / "urls.txt").touch()
    (workdir / "sums.txt").write_text(f"http://u:{'x' * 60}{SECRET}{'x' * 60}@h/")

    assert main([one.format(SECRET) for one in argv]) == 2
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "proxy", ["http://me:{}@h:x", "me:{}@h:x", "http://me:p {}@h", "x://me:{}@h"]
)
def test_no_password_in_a_bad_variable_is_told(proxy, monkeypatch, capfd):
    monkeypatch.setenv("http_proxy", proxy.format(SECRET))
    main(["fetch", f"http://{HOST}/", "-s", "serial", "--retries", "0"])

    assert SECRET not in "".join(capfd.readouterr())
