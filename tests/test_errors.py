import pickle

import pytest

from downloader import errors
from downloader.errors import DownloaderError

EXAMPLES = [
    (errors.DownloaderError("the run has ended"), "the run has ended"),
    (errors.UsageError("give a URL"), "give a URL"),
    (errors.InvalidUrl("no host"), "no host"),
    (errors.InvalidSettings("workers: -1"), "workers: -1"),
    (errors.StrategyUnavailable("needs pycurl"), "needs pycurl"),
    (errors.PagesUnavailable("needs matplotlib"), "needs matplotlib"),
    (errors.TransportError("timeout", "no answer", True), "timeout: no answer"),
    (errors.TransportError("dns", "h: unknown"), "dns: h: unknown"),
    (errors.DiskError("write", "h/a", "full"), "cannot write h/a: full"),
    (errors.PartLost("go on with", "h/a", "gone"), "cannot go on with h/a: gone"),
    (errors.TargetExists("finish", "h/a", "there"), "cannot finish h/a: there"),
    (
        errors.FolderLocked("out", "process 7"),
        "another run uses out: process 7; wait for its end, or name another folder",
    ),
    (errors.ManifestError("m", "locked"), "cannot use the manifest m: locked"),
    (errors.StrategyError("threads", "no more"), "strategy 'threads' broke: no more"),
]


def of_example():
    return pytest.mark.parametrize(
        ("error", "text"), EXAMPLES, ids=[text for _, text in EXAMPLES]
    )


@of_example()
def test_the_text_says_what_happened_to_what(error, text):
    assert str(error) == text


@of_example()
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_type_text_and_fields(error, text, protocol):
    copy = pickle.loads(pickle.dumps(error, protocol))

    assert type(copy) is type(error)
    assert (str(copy), copy.args) == (text, error.args)
    assert vars(copy) == vars(error)


def test_every_exception_is_among_the_examples_and_has_one_base():
    exceptions = {getattr(errors, name) for name in errors.__all__}

    assert exceptions == {type(error) for error, _ in EXAMPLES}
    assert all(issubclass(each, DownloaderError) for each in exceptions)


def test_a_disk_error_is_never_taken_for_a_network_error():
    assert not issubclass(errors.DiskError, OSError)
