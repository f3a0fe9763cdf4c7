import ntpath
import re
from pathlib import PureWindowsPath
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from downloader.policy import naming
from downloader.policy.naming import name, part_name
from downloader.policy.urls import Url, identity, parse

Layout = Literal["tree", "flat"]

HASH = r"~[0-9a-f]{10}"

# Texts that are near each other in some file system's eyes, or near one of our marks.
SEGMENTS = st.sampled_from(
    [
        *[
            "a",
            "A",
            "a.b",
            "A.B",
            "b.a",
            "",
            ".a",
            "..a",
            "a.",
            "a%20",
            "%20a",
            "a%20b",
        ],
        *["a~f", "a.b~d", "a~d", "a~", "index~.html", "Index~.html", "index.html"],
        *["a~0123456789", "a~0123456789.b", "a~012345678", "long~0123456789", "a~1.b"],
        *[
            "caf%C3%A9",
            "cafe%CC%81",
            "CAF%C3%89",
            "%FF",
            "%C3",
            "stra%C3%9Fe",
            "strasse",
        ],
        *[
            "a%2Fb",
            "a%5Cb",
            "a:b",
            "a%3Ab",
            "a!",
            "a%21",
            "a+b",
            "a%2Bb",
            "a%00",
            "a%2A",
        ],
        *["a.part", "a.PART", "a.part.b", "part", ".part", "con", "CON.b", "aux.b.c"],
        *[
            "nul%20.b",
            "com%C2%B9",
            "conin$",
            "%E2%80%AEa",
            "%CE%A3",
            "%CF%83",
            "%CF%82",
        ],
        *["%C4%B1", "i", "%C5%BF", "s", "%E2%84%AA", "k", "%EF%BF%BD", "%25", "%2541"],
        *[
            "x" * 238,
            "x" * 239,
            "x" * 240,
            "x" * 241,
            "X" * 240,
            "%C3%A9" * 120 + ".pdf",
        ],
        *[
            "%C3%A9" * 120,
            "%C3%A9" * 121,
            ("y" * 234) + ".part",
            ".downloader",
            "_",
            "~",
        ],
        *["h~0", "...", "a" * 250 + ".b", "a" * 240 + "." + "b" * 17],
    ]
)
QUERIES = st.sampled_from(
    [
        "",
        "",
        "",
        "?",
        "?a",
        "?A",
        "?a=1&b=2",
        "?a/b",
        "?%FF",
        "?token=s3cr3t",
        "?x=/../y",
    ]
    + [f"?{'q' * 80}{end}" for end in "12"]
)
ORIGINS = st.sampled_from(
    [
        *["http://h", "https://h", "http://h:443", "https://h:80", "https://h:81"],
        *[
            "http://h:81",
            "http://h.",
            "https://h.",
            "https://h_80",
            "https://h_81_https",
        ],
        *[
            "http://[::1]",
            "https://com1.x",
            "https://x.part",
            "http://a.b",
        ],
        *[f"http://{'a.' * 126}b:65535", f"https://{'a.' * 126}b:65535"],
    ]
)
LONG_PATHS = st.builds(
    lambda folder, count, file: [*[folder] * count, file],
    st.sampled_from(["ab", "AB", "a.b", "%2F", "%C3%A9", ""]),
    st.sampled_from([60, 69, 70, 224, 225, 298, 299, 300, 450]),
    SEGMENTS,
)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4) | LONG_PATHS
URLS = st.builds(
    lambda origin, path, query: parse(f"{origin}/{'/'.join(path)}{query}"),
    ORIGINS,
    PATHS,
    QUERIES,
)
# Few segments under one origin, so that names do meet.
NEAR_URLS = st.builds(
    lambda path, query: parse(f"http://h/{'/'.join(path)}{query}"),
    st.lists(SEGMENTS, min_size=1, max_size=2),
    QUERIES,
)
SETS_OF_URLS = st.lists(URLS, max_size=30) | st.lists(NEAR_URLS, max_size=60)
LAYOUTS = st.sampled_from(["tree", "flat"])

PLAIN_PATHS = st.from_regex(
    r"(/[a-cB.~$!n_-]{0,4}|/(con|nul|aux|com1)[.sx]{0,2}){1,4}(\.part)?", fullmatch=True
)


def tree(text: str, *, portable: bool = False) -> str:
    return name(parse(text), "tree", portable)


def flat(text: str, *, portable: bool = False) -> str:
    return name(parse(text), "flat", portable)


def folded(path: str) -> str:
    """The path as a file system sees it for which neither case nor form counts."""
    return normalize("NFC", normalize("NFC", path).casefold())


def folders_of(paths: set[str]) -> set[str]:
    """All that must be a folder for these paths to exist."""
    return {path[: cut.start()] for path in paths for cut in re.finditer("/", path)}


class TestTree:
    @pytest.mark.parametrize(
        ("origin", "folder"),
        [
            ("https://example.org", "example.org"),
            ("http://example.org", "example.org_80"),
            ("http://example.org:443", "example.org_443"),
            ("https://example.org:80", "example.org_80_https"),
            ("https://EXAMPLE.org:8443", "example.org_8443_https"),
            ("http://127.0.0.1:8080", "127.0.0.1_8080"),
            ("https://xn--bcher-kva.de", "xn--bcher-kva.de"),
            ("http://example.org.", "example.org._80"),
            ("http://con", "con_80"),
        ],
    )
    def test_host_folder_tells_origins_apart(self, origin: str, folder: str) -> None:
        assert tree(f"{origin}/a.txt") == f"{folder}/a.txt"

    @pytest.mark.parametrize(
        ("origin", "readable"),
        [
            ("https://example.org.", "example.org."),
            ("https://a_b.org", "a_b.org"),
            ("https://example.org_80", "example.org_80"),
            ("http://[2001:db8::1]", "2001_db8__1_80"),
            ("http://[::1]:8080", "__1_8080"),
            ("https://con", "con"),
            ("http://nul.org", "_nul.org_80"),
            ("https://x.part", "x.part"),
            (f"https://{'a.' * 126}b", "a." * 114 + "a"),
        ],
    )
    def test_odd_host_carries_a_hash(self, origin: str, readable: str) -> None:
        folder, file = tree(f"{origin}/a.txt").split("/")

        assert re.fullmatch(re.escape(readable) + HASH, folder)
        assert file == "a.txt"

    @pytest.mark.parametrize(
        ("path", "file"),
        [
            ("a/b.txt", "a/b.txt"),
            ("README", "README~f"),
            (".profile", ".profile~f"),
            ("..a", "..a"),
            ("v1.2/a.tar.gz", "v1.2~d/a.tar.gz"),
            (".git/config", ".git/config~f"),
            ("", "index~.html"),
            ("a/", "a/index~.html"),
            ("caf%C3%A9.txt", "café.txt"),
            ("a%20b.txt", "a b.txt"),
            ("%7Euser/a.txt", "~user/a.txt"),
            ("A/B.TXT", "A/B.TXT"),
            ("100%25/a(1)+b.txt", "100%/a(1)+b.txt"),
            ("main.c~", "main.c~"),
            ("console/connect.txt", "console/connect.txt"),
            ("partly.parts", "partly.parts"),
            ("longna~1.txt", "longna~1.txt"),
            ("x" * 238, "x" * 238 + "~f"),
            ("x" * 240 + "/a.b", "x" * 240 + "/a.b"),
            ("x" * 236 + ".txt", "x" * 236 + ".txt"),
            ("x" * 236 + ".y/a.b", "x" * 236 + ".y~d/a.b"),
        ],
    )
    def test_clean_name_stays(self, path: str, file: str) -> None:
        assert tree(f"https://h/{path}") == f"h/{file}"

    @pytest.mark.parametrize(
        ("path", "stem", "extension"),
        [
            ("view.php?id=5", "view_id=5", ".php"),
            ("search?q=a%20b", "search_q=a b", ""),
            ("search?q=%FF", "search_q=_", ""),
            ("a.txt?", "a", ".txt"),
            ("?q=1", "index_q=1", ".html"),
            ("a.txt?u=http://x/y?z", "a_u=http___x_y_z", ".txt"),
            (f"a.txt?{'q' * 90}", f"a_{'q' * 80}", ".txt"),
            ("a.txt?b=1&X-Amz-Signature=s3cr3t", "a_b=1&X-Amz-Signature=___", ".txt"),
            ("a%2Fb.txt", "a_b", ".txt"),
            ("a%281%29.txt", "a(1)", ".txt"),
            ("a%3Ab%00c.txt", "a_b_c", ".txt"),
            ("%E2%80%AEtxt.exe", "_txt", ".exe"),
            ("%FF%FE.txt", "__", ".txt"),
            ("%20a.txt", "_a", ".txt"),
            ("a.txt.", "a.txt.", ""),
            ("a.txt%20", "a.txt ", ""),
            ("a.part", "a.part", ""),
            ("a.PART", "a.PART", ""),
            ("nul", "nul", ""),
            ("AUX.tar.gz", "_AUX.tar", ".gz"),
            ("nul%20.txt", "nul ", ".txt"),
            ("com%C2%B9.txt", "com¹", ".txt"),
            ("README~f", "README~f", ""),
            ("a.b~d", "a.b~d", ""),
            ("a~0123456789", "a~0123456789", ""),
            ("a~0123456789.txt", "a~0123456789", ".txt"),
            ("index~.html", "index~", ".html"),
            ("a:b." + "x" * 16, "a_b", "." + "x" * 16),
            ("a:b." + "x" * 17, "a_b." + "x" * 17, ""),
            ("a:b.t-t", "a_b.t-t", ""),
            ("a:b.t%C3%A9", "a_b.té", ""),
            ("x" * 239, "x" * 229, ""),
            ("x" * 300 + ".txt", "x" * 225, ".txt"),
            ("%C3%A9" * 200 + ".txt", "é" * 112, ".txt"),
        ],
    )
    def test_other_file_is_readable_and_hashed(
        self, path: str, stem: str, extension: str
    ) -> None:
        pattern = f"h/{re.escape(stem)}{HASH}{re.escape(extension)}"

        assert re.fullmatch(pattern, tree(f"https://h/{path}"))

    @pytest.mark.parametrize(
        ("segment", "readable"),
        [
            ("", "_"),
            ("a:b", "a_b"),
            ("%FF", "_"),
            ("...", "..."),
            ("x" * 241, "x" * 229),
        ],
    )
    def test_files_below_an_odd_folder_share_it(
        self, segment: str, readable: str
    ) -> None:
        one = tree(f"https://h/a/{segment}/b.txt").split("/")
        other = tree(f"https://h/a/{segment}/c/d.txt?q").split("/")

        assert one[:3] == other[:3]
        assert re.fullmatch(re.escape(readable) + HASH, one[2])

    def test_odd_folder_of_another_parent_has_another_hash(self) -> None:
        one = tree("https://h/a/b:/c.txt").split("/")
        other = tree("https://h/b/b:/c.txt").split("/")

        assert one[2] != other[2]

    def test_extension_of_an_odd_folder_stays_at_its_end(self) -> None:
        assert re.fullmatch(rf"h/a_b{HASH}\.d/c\.txt", tree("https://h/a:b.d/c.txt"))

    def test_long_path_keeps_host_and_file(self) -> None:
        folders = "folder/" * 150

        assert re.fullmatch(f"h/long{HASH}/b.txt", tree(f"https://h/{folders}b.txt"))

    def test_path_of_900_bytes_keeps_its_folders(self) -> None:
        path = "ab/" * 298 + "a.c"  # with "h/" and one letter more: 900

        assert tree(f"https://h/{path}x") == f"h/{path}x"
        assert tree(f"https://h/{path}xx").startswith("h/long~")

    def test_files_of_a_long_folder_share_it(self) -> None:
        one = tree(f"https://h/{'folder/' * 150}b.txt")
        other = tree(f"https://h/{'folder/' * 150}c.txt")

        assert one.removesuffix("b.txt") == other.removesuffix("c.txt")

    def test_spellings_of_one_resource_share_a_name(self) -> None:
        one = tree("http://user:pass@H:80/x/../%7Ea%2D?%41#b")

        assert one == tree("http://h/~a-?A")


class TestPortable:
    @pytest.mark.parametrize(
        ("path", "stem", "extension"),
        [
            ("README.TXT", "readme", ".txt"),
            ("CAF%C3%89.txt", "café", ".txt"),
            ("cafe%CC%81.txt", "café", ".txt"),
            ("stra%C3%9Fe.txt", "straße", ".txt"),
            ("%C4%B1.txt", "ı", ".txt"),  # noqa: RUF001 - upper-cases to "I"
            ("longna~1.txt", "longna~1", ".txt"),
            ("a.txt?Q=1", "a_q=1", ".txt"),
        ],
    )
    def test_what_another_name_could_fold_to_is_hashed(
        self, path: str, stem: str, extension: str
    ) -> None:
        pattern = f"h/{re.escape(stem)}{HASH}{re.escape(extension)}"

        assert re.fullmatch(pattern, tree(f"https://h/{path}", portable=True))

    @pytest.mark.parametrize(
        ("path", "file"),
        [
            ("a/readme.txt", "a/readme.txt"),
            ("v1.2/readme", "v1.2~d/readme~f"),
            ("caf%C3%A9.txt", "café.txt"),
            ("%E6%97%A5.txt", "日.txt"),
        ],
    )
    def test_what_folds_to_itself_stays(self, path: str, file: str) -> None:
        assert tree(f"https://h/{path}", portable=True) == f"h/{file}"


class TestFlat:
    @pytest.mark.parametrize(
        ("text", "stem", "extension"),
        [
            ("https://h/a/report.pdf", "report", ".pdf"),
            ("https://h/a/README", "README", ""),
            ("https://h/view.php?id=5", "view_id=5", ".php"),
            ("https://example.org/", "example.org", ".html"),
            ("https://example.org/a/?q=1", "example.org_q=1", ".html"),
            ("https://[::1]/", "__1", ".html"),
            ("https://h/.downloader", ".downloader", ""),
            ("https://h/a.part", "a.part", ""),
        ],
    )
    def test_base_name_carries_the_hash(
        self, text: str, stem: str, extension: str
    ) -> None:
        assert re.fullmatch(re.escape(stem) + HASH + re.escape(extension), flat(text))

    def test_same_base_name_elsewhere_has_another_hash(self) -> None:
        assert flat("https://h/a/b.txt") != flat("https://h/c/b.txt")

    def test_portable_name_is_lower_case(self) -> None:
        assert re.fullmatch(f"a{HASH}.txt", flat("https://h/A.TXT", portable=True))


class TestEveryName:
    @given(SETS_OF_URLS, LAYOUTS, st.booleans())
    @settings(deadline=None)
    def test_no_two_resources_share_one(
        self, urls: list[Url], layout: Layout, portable: bool
    ) -> None:
        resources = {identity(url) for url in urls}
        names = {name(url, layout, portable) for url in urls}

        assert len(names) == len(resources)

    @given(SETS_OF_URLS, LAYOUTS)
    @settings(deadline=None)
    def test_portable_ones_differ_also_when_folded(
        self, urls: list[Url], layout: Layout
    ) -> None:
        resources = {identity(url) for url in urls}
        names = {folded(name(url, layout, portable=True)) for url in urls}
        upper = {folded(name(url, layout, portable=True).upper()) for url in urls}

        assert len(names) == len(upper) == len(resources)

    @given(SETS_OF_URLS, LAYOUTS)
    @settings(deadline=None)
    def test_no_file_stands_where_a_folder_must(
        self, urls: list[Url], layout: Layout
    ) -> None:
        plain = {name(url, layout, portable=False) for url in urls}
        portable = {folded(name(url, layout, portable=True)) for url in urls}

        assert not plain & folders_of(plain)
        assert not portable & folders_of(portable)

    @given(URLS | NEAR_URLS, LAYOUTS, st.booleans())
    @settings(deadline=None)
    def test_none_is_another_ones_part(
        self, url: Url, layout: Layout, portable: bool
    ) -> None:
        components = name(url, layout, portable).lower().split("/")

        assert not [part for part in components if part.endswith(".part")]

    @given(URLS | NEAR_URLS, LAYOUTS, st.booleans())
    @settings(deadline=None)
    def test_components_and_path_are_short_enough(
        self, url: Url, layout: Layout, portable: bool
    ) -> None:
        assert naming.is_inside(name(url, layout, portable))
        path = part_name(name(url, layout, portable))

        assert max(len(part.encode()) for part in path.split("/")) <= 245
        assert len(path.encode()) <= 905

    @given(URLS | NEAR_URLS, LAYOUTS, st.booleans())
    @settings(deadline=None)
    def test_components_are_safe_everywhere(
        self, url: Url, layout: Layout, portable: bool
    ) -> None:
        path = name(url, layout, portable)

        assert path.isprintable()
        assert not re.search(r'[\\:*?"<>|]', path)
        assert not re.search(r"(?:^|/)(?: |\.{0,2}(?:/|$))|[. ](?:/|$)", path)
        assert not path.startswith(".downloader/")
        assert not [part for part in path.split("/") if is_device(part)]

    @given(URLS | NEAR_URLS, LAYOUTS, st.booleans())
    @settings(deadline=None)
    def test_depends_on_the_identity_alone(
        self, url: Url, layout: Layout, portable: bool
    ) -> None:
        normal = parse(identity(url))
        marked = normal._replace(credentials="user:pass")

        assert name(url, layout, portable) == name(marked, layout, portable)

    @given(ORIGINS, PLAIN_PATHS, st.booleans())
    @settings(deadline=None, max_examples=300)
    @example("http://h", "/a.part", False)
    @example("http://h", "/nul/b.c", False)
    @example("http://h", "/x" * 119, False)
    @example("http://h", "/x" * 120, False)
    @example("http://h", "/README", True)
    def test_plain_path_is_named_as_if_it_had_been_taken_apart(
        self, origin: str, path: str, portable: bool
    ) -> None:
        url = parse(f"{origin}{path}")
        fast = naming._plain_name(url, portable=portable)

        assert fast in {None, naming._tree_name(url, portable=portable)}

    @pytest.mark.parametrize("path", ["/a/b-1_2.tar.gz", "/a/README", "/content/a.b"])
    def test_plain_path_is_known_as_plain(self, path: str) -> None:
        url = parse(f"https://h{path}")

        assert naming._plain_name(url, portable=False) is not None


def is_device(component: str) -> bool:
    """True for a component that Windows opens as a device, by its own rule."""
    stem = component.partition(".")[0].rstrip(" ")
    superscripts = str.maketrans("¹²³", "123")
    plain = stem.translate(superscripts)
    if hasattr(ntpath, "isreserved"):  # from Python 3.13 on, where the other warns
        return ntpath.isreserved(plain)
    return PureWindowsPath(plain).is_reserved()


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (tree("http://h/a%3Ab.txt"), "h_80/a_b~408de51c96.txt"),
        (tree("https://h/a%3Ab/c.txt"), "h/a_b~6e122e8c3f/c.txt"),
        (tree("https://a_b/c.txt"), "a_b~c984518cb3/c.txt"),
        (tree(f"https://h/{'folder/' * 150}c.txt"), "h/long~2492d2761e/c.txt"),
        (flat("https://h/c.txt"), "c~9608d972b9.txt"),
    ],
)
def test_names_do_not_change_between_versions(path: str, known: str) -> None:
    # A changed name means that every folder of every user is fetched anew.
    assert path == known


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "../a", "a/../b", ".", ".downloader/a", "a\0", "\ud800"],
)
def test_a_path_that_leads_elsewhere_is_not_inside(path: str) -> None:
    assert not naming.is_inside(path)
