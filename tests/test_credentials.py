import pytest

from downloader.credentials import read_netrc
from downloader.errors import UsageError


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    """Write the file that $NETRC names."""

    def write(content):
        path = tmp_path / "netrc"
        path.write_bytes(content)
        path.chmod(0o600)
        monkeypatch.setenv("NETRC", str(path))
        return path

    return write


def test_a_machine_has_its_login_and_password(netrc):
    netrc(b"machine Example.ORG login me password s3cret\nmachine b login you\n")

    assert read_netrc() == {"example.org": "me:s3cret", "b": "you:"}


def test_the_default_entry_is_left_out(netrc):
    netrc(b"machine a login me password x\ndefault login any password y\n")

    assert read_netrc() == {"a": "me:x"}


def test_a_missing_file_is_an_empty_one(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "missing"))

    assert read_netrc() == {}


def test_the_home_folders_file_is_read_without_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".netrc"
    path.write_text("machine h login me password x\n")
    path.chmod(0o600)

    assert read_netrc() == {"h": "me:x"}


@pytest.mark.parametrize(
    "content",
    [
        *[b"machine", b"nonsense here", b"machine \xff\xfe x"],
        b"machine b login me password one s3cret",
    ],
)
def test_a_malformed_file_is_a_usage_error_without_its_secrets(netrc, content):
    path = netrc(b"machine a login me password s3cret\n" + content)

    with pytest.raises(UsageError, match="cannot read the netrc file") as caught:
        read_netrc()
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_folder_with_its_name_is_a_usage_error(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path))

    with pytest.raises(UsageError, match="Is a directory"):
        read_netrc()
