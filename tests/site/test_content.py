import hashlib
from collections import Counter
from urllib.parse import quote, unquote

import pytest

from downloader.site.content import BLOCK_BYTES, Catalogue, content_type

KIB = 1024


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue(seed=1, files=300)


def large_path(catalogue):
    return max(catalogue, key=lambda entry: entry[1])[0]


def test_equal_seeds_give_equal_names_sizes_and_bytes(catalogue):
    twin = Catalogue(seed=1, files=300)

    assert list(twin) == list(catalogue)
    assert all(twin.body(path) == catalogue.body(path) for path, _ in twin)


def test_the_bytes_stay_the_same_from_release_to_release(catalogue):
    digest = hashlib.sha256()
    for path, _ in catalogue:
        digest.update(f"{path} {catalogue.sha256(path)}\n".encode())

    assert digest.hexdigest().startswith("d030986083709aedb08f056541e6ff1d")


def test_another_seed_gives_other_bytes_and_sizes(catalogue):
    other = Catalogue(seed=2, files=300)

    assert dict(other) != dict(catalogue)
    assert other.body("/n/1") != catalogue.body("/n/1")


def test_a_longer_catalogue_begins_with_the_shorter_one(catalogue):
    assert list(Catalogue(seed=1, files=400))[:300] == list(catalogue)


def test_sizes_are_mostly_small_some_medium_and_a_few_large(catalogue):
    sizes = [size for _, size in catalogue]

    assert sum(KIB <= size <= 64 * KIB for size in sizes) > 260
    assert Counter(sizes)[256 * KIB] == 25
    assert sum(2048 * KIB <= size < 8192 * KIB for size in sizes) == 4


def test_paths_are_distinct_and_percent_encoded_as_in_a_url(catalogue):
    paths = [path for path, _ in catalogue]

    assert len(set(paths)) == 300
    assert all(quote(unquote(path)) == path for path in paths)
    assert any("%20" in path for path in paths)
    assert any("%C3%BC" in path for path in paths)


def test_a_body_is_as_long_as_its_size_says(catalogue):
    assert all(len(catalogue.body(path)) == size for path, size in catalogue)


def test_no_two_files_share_their_bytes(catalogue):
    assert len({catalogue.sha256(path) for path, _ in catalogue}) == 300


def test_no_two_blocks_of_a_body_are_alike(catalogue):
    body = catalogue.body(large_path(catalogue))
    blocks = [body[i : i + BLOCK_BYTES] for i in range(0, len(body), BLOCK_BYTES)]

    assert len(set(blocks)) == len(blocks)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (0, BLOCK_BYTES), (1, BLOCK_BYTES + 1), (65_530, 200_000), (70_000, None)],
)
def test_a_part_of_the_chunks_is_that_part_of_the_body(catalogue, start, stop):
    path = large_path(catalogue)

    part = b"".join(catalogue.chunks(path, start, stop))

    assert part == catalogue.body(path)[start:stop]


def test_the_digest_is_that_of_the_body(catalogue):
    path = large_path(catalogue)

    assert catalogue.sha256(path) == hashlib.sha256(catalogue.body(path)).hexdigest()


@pytest.mark.parametrize("path", ["/n/0", "/n/299999", "/n/7/any%20thing", "/n/7/a/b"])
def test_numbered_files_exist_without_being_listed(catalogue, path):
    assert path in catalogue
    assert path not in dict(catalogue)
    assert len(catalogue.body(path)) == 200


def test_numbered_files_differ_by_their_whole_path(catalogue):
    paths = ["/n/1", "/n/2", "/n/1/", "/n/1/a"]

    assert len({catalogue.body(path) for path in paths}) == 4


@pytest.mark.parametrize("path", ["/n/", "/n/x", "/n/-1", "/nowhere", "", "/n/1x"])
def test_any_other_path_is_not_there(catalogue, path):
    assert path not in catalogue
    with pytest.raises(KeyError):
        catalogue.size_bytes(path)


def test_the_validators_are_a_quoted_tag_and_a_date_in_whole_seconds(catalogue):
    tag = catalogue.etag("/n/1")

    assert tag == f'"{tag.strip(chr(34))}"'
    assert tag != catalogue.etag("/n/2")
    assert catalogue.last_modified("/n/1").microsecond == 0
    assert catalogue.last_modified_text("/n/1").endswith(
        " 2024 {:%H:%M:%S} GMT".format(catalogue.last_modified("/n/1"))
    )


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/a.tar.gz", "application/gzip"),
        ("/LICENCE", "application/octet-stream"),
    ],
)
def test_the_content_type_follows_the_extension(path, media_type):
    assert content_type(path) == media_type
