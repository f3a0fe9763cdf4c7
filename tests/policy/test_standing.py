import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.policy.standing import (
    Action,
    Case,
    Decision,
    Intent,
    Record,
    Stamp,
    Wishes,
    decide,
    examined_by,
    intended,
    is_sound,
    is_url,
    recorded,
    settle,
)

SUM, OTHER = "ab" * 32, "cd" * 32
URL = "http://h/a"
STAMP = Stamp(3, 1_700_000_000, 7)
RECORD = Record(URL, 3, SUM, True, '"v1"', None, 1_700_000_000, None)
PLAIN = Wishes()


def case(stamp=STAMP, record=None, intent=None, checksum=None, identity=URL):
    return Case(identity, checksum, stamp, record, intent)


def after(case, wishes=PLAIN):
    return decide(case, wishes)


class TestNothingThere:
    def test_what_was_never_there_is_fetched_and_replaces_nothing(self):
        assert after(case(None)) == Decision(Action.FETCH, None, replaces=False)

    def test_what_is_missing_is_fetched_with_a_word(self):
        found = after(case(None, RECORD))

        assert found.action is Action.FETCH
        assert "missing" in found.why

    def test_an_intent_alone_is_no_file(self):
        assert after(case(None, None, Intent(None))).action is Action.FETCH


class TestKnown:
    @pytest.mark.parametrize(
        ("wishes", "action"),
        [
            (PLAIN, Action.SKIP),
            (Wishes(overwrites=True), Action.SKIP),
            (Wishes(refreshes=True), Action.ASK),
            (Wishes(verifies=True), Action.EXAMINE),
            (Wishes(verifies=True, refreshes=True), Action.EXAMINE),
        ],
    )
    def test_it_is_skipped_unless_more_is_wished(self, wishes, action):
        assert after(case(record=RECORD), wishes) == Decision(action)

    def test_a_stale_intent_does_not_matter(self):
        assert after(case(record=RECORD, intent=Intent(None))).action is Action.SKIP

    @pytest.mark.parametrize("checksum", [SUM, OTHER])
    def test_a_checksum_is_enforced_without_reading(self, checksum):
        found = after(case(record=RECORD, checksum=checksum))

        assert found.action is (Action.SKIP if checksum == SUM else Action.FETCH)

    def test_another_size_is_a_change(self):
        found = after(case(Stamp(4, 1_700_000_000, 7), RECORD))

        assert (found.action, found.replaces) == (Action.FETCH, True)
        assert "changed" in found.why

    @pytest.mark.parametrize(
        ("wishes", "digest", "action"),
        [
            (PLAIN, SUM, Action.ADOPT),
            (Wishes(refreshes=True), SUM, Action.ASK),
            (PLAIN, OTHER, Action.FETCH),
            (PLAIN, None, Action.FETCH),
        ],
    )
    def test_another_time_alone_is_looked_into(self, wishes, digest, action):
        touched = case(Stamp(3, 1_700_000_001, 7), RECORD)

        assert after(touched, wishes) == Decision(Action.EXAMINE)
        assert settle(touched, wishes, digest).action is action

    def test_what_has_another_time_may_have_another_wanted_sum(self):
        touched = case(Stamp(3, 1_700_000_001, 7), RECORD, checksum=OTHER)

        assert settle(touched, PLAIN, OTHER).action is Action.ADOPT
        assert settle(touched, PLAIN, SUM).action is Action.FETCH

    def test_what_was_not_hashed_cannot_be_looked_into(self):
        unhashed = RECORD._replace(digest="")

        assert after(case(Stamp(3, 5, 7), unhashed)).action is Action.FETCH

    def test_another_inode_is_none(self):
        assert after(case(Stamp(3, 1_700_000_000, 8), RECORD)).action is Action.SKIP

    @pytest.mark.parametrize(
        ("wishes", "sha256", "action"),
        [
            (Wishes(verifies=True), SUM, Action.SKIP),
            (Wishes(verifies=True, refreshes=True), SUM, Action.ASK),
            (Wishes(verifies=True), OTHER, Action.FETCH),
            (Wishes(verifies=True), None, Action.FETCH),
        ],
    )
    def test_what_was_read_decides(self, wishes, sha256, action):
        assert settle(case(record=RECORD), wishes, sha256).action is action


class TestIntended:
    def test_what_came_after_the_intent_is_ours(self):
        for before in (None, Stamp(9, 9, 9)):
            assert after(case(intent=Intent(before))) == Decision(Action.EXAMINE)

    def test_what_stood_there_before_is_not(self):
        assert after(case(intent=Intent(STAMP))).action is Action.EXISTS

    def test_what_was_copied_since_stood_there_before(self):
        copied = case(STAMP._replace(inode=8), intent=Intent(STAMP))

        assert after(copied).action is Action.EXISTS

    def test_while_there_is_a_part_nothing_of_ours_has_the_name(self):
        for before in (None, Stamp(9, 9, 9)):
            begun = case(intent=Intent(before))._replace(has_part=True)
            assert after(begun).action is Action.EXISTS
            assert after(begun, Wishes(overwrites=True)).action is Action.FETCH

    def test_it_counts_before_an_older_record(self):
        changed = Stamp(4, 5, 6)

        assert after(case(changed, RECORD, Intent(STAMP))).action is Action.EXAMINE

    def test_it_is_adopted_unless_another_was_asked_for(self):
        intended = case(intent=Intent(None))

        assert settle(intended, PLAIN, SUM).action is Action.ADOPT
        assert (
            settle(intended._replace(checksum=SUM), PLAIN, SUM).action is Action.ADOPT
        )
        assert settle(intended._replace(checksum=OTHER), PLAIN, SUM) == Decision(
            Action.FETCH, "has another checksum than asked for"
        )
        assert settle(intended, PLAIN, None) == Decision(Action.FETCH, "cannot be read")


class TestUnknown:
    def test_it_is_left_alone(self):
        assert after(case()) == Decision(Action.EXISTS)

    def test_a_file_of_another_url_is_unknown(self):
        assert after(case(record=RECORD, identity="http://h/b")).action is Action.EXISTS

    def test_it_is_replaced_if_that_is_wished(self):
        found = after(case(), Wishes(overwrites=True))

        assert found == Decision(Action.FETCH, None, replaces=True)

    @pytest.mark.parametrize(
        ("sha256", "action"),
        [(SUM, Action.ADOPT), (OTHER, Action.EXISTS), (None, Action.EXISTS)],
    )
    def test_the_right_checksum_makes_it_ours(self, sha256, action):
        asked = case(checksum=SUM)

        assert after(asked).action is Action.EXAMINE
        assert settle(asked, PLAIN, sha256).action is action

    def test_if_it_was_there_in_a_gap_of_the_record_it_is_taken_for_ours(self):
        lost = case()._replace(is_in_gap=True)

        assert after(lost).action is Action.EXAMINE
        assert settle(lost, PLAIN, SUM).action is Action.ADOPT
        assert settle(lost, PLAIN, None).action is Action.EXISTS

    def test_even_then_it_is_replaced_if_that_is_wished(self):
        lost = case()._replace(is_in_gap=True)

        assert after(lost, Wishes(overwrites=True)).action is Action.FETCH

    def test_what_was_recorded_since_the_gap_is_judged_by_that(self):
        changed = case(Stamp(4, 1_700_000_000, 7), RECORD)._replace(is_in_gap=True)

        assert after(changed).action is Action.FETCH


stamps = st.builds(Stamp, st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
records = st.builds(
    Record,
    st.sampled_from([URL, "http://h/b"]),
    st.integers(0, 2),
    st.sampled_from([SUM, OTHER]),
    st.booleans(),
    st.none(),
    st.none(),
    st.integers(0, 2),
    st.none(),
)
cases = st.builds(
    Case,
    st.just(URL),
    st.sampled_from([None, SUM, OTHER]),
    st.none() | stamps,
    st.none() | records,
    st.none() | st.builds(Intent, st.none() | stamps),
    st.booleans(),
    st.booleans(),
)
wishes = st.builds(Wishes, *[st.booleans()] * 3)


@given(cases, wishes, st.sampled_from([None, SUM, OTHER]))
def test_a_file_that_nobody_fetched_is_replaced_only_on_request(case, wishes, sha256):
    decision = decide(case, wishes)
    if decision.action is Action.EXAMINE:
        decision = settle(case, wishes, sha256)
    is_ours = case.intent is not None and not case.has_part
    is_strange = case.stamp is not None and case.record is None and not is_ours
    if is_strange and not wishes.overwrites:
        assert decision.action is not Action.FETCH
    if case.stamp is None:
        assert decision.action is Action.FETCH
    assert decision.action is not Action.EXAMINE


class TestOtherDigests:
    OTHERWISE = RECORD._replace(digest="xxh3:ef")
    UNHASHED = RECORD._replace(digest="")

    def test_a_file_is_examined_as_it_was_hashed(self):
        assert examined_by(case(record=RECORD)) == "sha256"
        assert examined_by(case(record=self.OTHERWISE)) == "xxh3"
        assert examined_by(case(Stamp(3, 5, 7), self.OTHERWISE)) == "xxh3"
        assert examined_by(case(intent=Intent(None))) == "sha256"

    def test_a_wanted_sha256_goes_first(self):
        wanted = case(record=self.OTHERWISE, checksum=SUM)

        assert examined_by(wanted) == "sha256"
        assert after(wanted).action is Action.EXAMINE
        assert settle(wanted, PLAIN, SUM).action is Action.SKIP
        assert settle(wanted, PLAIN, OTHER).why == "has another checksum than asked for"

    def test_a_wanted_checksum_is_looked_for_by_its_own_algorithm(self):
        wanted = case(record=RECORD, checksum="md5:ab")

        assert examined_by(wanted) == "md5"
        assert after(wanted).action is Action.EXAMINE
        assert settle(wanted, PLAIN, "md5:ab").action is Action.SKIP
        assert settle(wanted, PLAIN, "md5:cd").action is Action.FETCH

    def test_damage_is_told_by_what_was_recorded(self):
        verifies = Wishes(verifies=True)
        known = case(record=self.OTHERWISE)

        assert after(known, verifies).action is Action.EXAMINE
        assert settle(known, verifies, "xxh3:ef").action is Action.SKIP
        assert "digest is not the recorded" in settle(known, verifies, "xxh3:0").why

    def test_what_was_not_hashed_cannot_be_verified(self):
        unhashed = case(record=self.UNHASHED)

        assert after(unhashed).action is Action.SKIP
        assert after(unhashed, Wishes(verifies=True)).action is Action.FETCH


class TestRows:
    """Values as SQLite gives them, whoever wrote them."""

    ROW = ("http://h/a", 3, "ab" * 32, 1, '"v"', None, 17, "http://cdn/a")

    def test_a_row_as_we_write_it_is_a_record(self):
        assert recorded(self.ROW) == Record(*self.ROW)
        assert recorded((*self.ROW[:3], 0, *self.ROW[4:])).length_known is False

    @pytest.mark.parametrize("place", range(8))
    @pytest.mark.parametrize("value", [b"3", 3.5, "\0", -1, 1 << 63])
    def test_a_value_of_another_kind_makes_it_none(self, place, value):
        row = (*self.ROW[:place], value, *self.ROW[place + 1 :])
        is_text = place in {0, 4, 5} and isinstance(value, str)
        is_time = place == 6 and isinstance(value, int)

        assert (recorded(row) is not None) == (is_text or is_time)

    def test_an_intent_has_a_stamp_or_none(self):
        assert intended((None, None, None)) == Intent(None)
        assert intended((1, 2, 3)) == Intent(Stamp(1, 2, 3))

    @pytest.mark.parametrize(
        "row", [(-1, 2, 3), (1, "2", 3), (1, 2, 3.5), (None, 2, 3), (1, None, None)]
    )
    def test_other_values_are_no_intent(self, row):
        assert intended(row) is None

    def test_a_whole_row_lies_inside(self):
        facts = ("ok", 200, None, 1.5, *self.ROW[1:])

        assert is_sound(("h/a", self.ROW[0], *facts))
        assert not is_sound(("../a", self.ROW[0], *facts))
        assert not is_sound((b"h/a", self.ROW[0], *facts))

    @pytest.mark.parametrize(
        "url", [None, b"http://h/", "ftp://h/", "http://h/\r\nX: 1"]
    )
    def test_no_url(self, url):
        assert not is_url(url)
