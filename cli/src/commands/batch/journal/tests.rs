use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const RUN: [u8; 32] = [0xab; 32];

/// A row's record, in the order they were appended.
type Record = (usize, Kind, Vec<u8>);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.jsonl.journal");
    (folder, path)
}

fn kind_of(row: usize) -> Kind {
    if row.is_multiple_of(3) { Kind::Error } else { Kind::Result }
}

fn append(journal: &mut Journal, (row, kind, bytes): &Record) {
    journal.append(*row, *kind, bytes).expect("appended");
}

fn read(journal: &mut Journal) -> Vec<Record> {
    journal.records().expect("readable").collect::<Result<_>>().expect("sound")
}

/// What a journal with these records must say, which is in the order of rows.
fn check_holds(journal: &mut Journal, rows: usize, records: &[Record]) {
    let mut expected = records.to_vec();
    expected.sort_by_key(|&(row, ..)| row);
    assert_eq!(journal.finished(), expected.len());
    for row in 0..=rows {
        assert_eq!(journal.is_finished(row), expected.iter().any(|record| record.0 == row), "row {row}");
    }
    assert_eq!(read(journal), expected);
}

/// The error of opening, without the folder's name.
fn refusal(path: &Path, run: &[u8; 32], rows: usize) -> String {
    let error = Journal::open(path, run, rows).expect_err("refused");
    let folder = path.parent().expect("it is in a folder").display();
    format!("{error:#}").replace(&format!("{folder}/"), "")
}

#[test]
fn records_come_back_in_the_order_of_rows_also_after_reopening() {
    let (_folder, path) = place();
    let mut journal = Journal::open(&path, &RUN, 5).expect("a new journal");
    let records =
        [(3, Kind::Error, b"three".to_vec()), (0, Kind::Result, Vec::new()), (4, Kind::Result, b"4".to_vec())];
    check_holds(&mut journal, 5, &[]);
    for (count, record) in (1..).zip(&records) {
        append(&mut journal, record);
        check_holds(&mut journal, 5, &records[..count]);
    }
    journal.sync().expect("synced");
    drop(journal);
    let mut journal = Journal::open(&path, &RUN, 5).expect("the same journal");
    check_holds(&mut journal, 5, &records);
    journal.remove().expect("removed");
    assert!(!path.exists());
}

#[test]
fn a_row_has_one_record() {
    let (_folder, path) = place();
    let mut journal = Journal::open(&path, &RUN, 2).expect("a new journal");
    append(&mut journal, &(1, Kind::Result, b"first".to_vec()));
    assert!(journal.append(1, Kind::Error, b"second").is_err());
    assert!(journal.append(2, Kind::Result, b"no such row").is_err());
    check_holds(&mut journal, 2, &[(1, Kind::Result, b"first".to_vec())]);
}

#[test]
fn what_is_not_this_runs_journal_is_refused_and_left_as_it_is() {
    let (_folder, path) = place();
    let check = |bytes: &[u8], run, rows, expected: &str| {
        fs::write(&path, bytes).expect("written");
        assert_eq!(refusal(&path, run, rows), expected);
        assert_eq!(fs::read(&path).expect("there"), bytes);
    };
    let foreign =
        |reason: &str| format!("`out.jsonl.journal` is not a journal of this program: {reason}; it was left as it is");
    let other = |reason: &str| {
        format!(
            "`out.jsonl.journal` belongs to another run: {reason}; go on with the input, model and flags of that run, or delete \
             the file to begin again"
        )
    };
    let mut ours = Header { run: RUN, rows: 7 }.encode().to_vec();
    ours.extend_from_slice(b"torn");
    check(b"dear diary", &RUN, 7, &foreign("it does not start with `VDBATCH`"));
    check(&[7; 200], &RUN, 7, &foreign("it does not start with `VDBATCH`"));
    check(&[0; 200], &RUN, 7, &foreign("it does not start with `VDBATCH`"));
    check(b"VDBATCH\n by hand", &RUN, 7, &foreign("it has 16 bytes, expected 56 or more"));
    check(&ours, &[1; 32], 7, &other("its digest begins with abababab, this run's with 01010101"));
    check(&ours, &RUN, 8, &other("its input had 7 rows, this one has 8"));
    let mut newer = ours.clone();
    newer[8] = 9;
    check(&newer, &RUN, 7, &foreign("it has version 9, expected 1"));
    ours[30] ^= 1;
    check(&ours, &RUN, 7, &foreign("its first bytes are damaged"));
}

#[test]
fn a_place_that_cannot_have_a_journal_is_named() {
    let (folder, path) = place();
    let check = |path: &Path, expected: &str| {
        let found = refusal(path, &RUN, 1);
        assert!(found.starts_with(expected), "{found}");
    };
    check(&folder.path().join("absent/journal"), "cannot create `journal`: ");
    fs::create_dir(&path).expect("made");
    check(&path, "cannot open `out.jsonl.journal`: ");
    #[cfg(unix)]
    check(Path::new("/dev/null"), "cannot read `null`: it is not a regular file");
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = place();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).expect("set");
    if File::create(folder.path().join("probe")).is_ok() {
        println!("skipped: this user may write anywhere");
        return;
    }
    assert!(refusal(&path, &RUN, 1).starts_with("cannot create `out.jsonl.journal`: "));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_the_records_stay_in_order() {
    let (_folder, path) = place();
    let mut journal = Journal::open(&path, &RUN, 2).expect("a new journal");
    let file = std::mem::replace(&mut journal.file, File::options().write(true).open("/dev/full").expect("a device"));
    append(&mut journal, &(1, Kind::Result, b"one".to_vec()));
    let error = format!("{:#}", journal.sync().expect_err("no room"));
    assert!(error.starts_with("cannot write `") && error.contains("No space"), "{error}");
    journal.file = file;
    journal.sync().expect("there is room again");
    check_holds(&mut Journal::open(&path, &RUN, 2).expect("sound"), 2, &[(1, Kind::Result, b"one".to_vec())]);
}

#[test]
fn a_second_record_of_a_row_and_all_behind_it_are_dropped() {
    let (_folder, path) = place();
    let header = Header { run: RUN, rows: 3 };
    let mut bytes = header.encode().to_vec();
    for (row, record) in [(0, b"first"), (1, b"other"), (0, b"again"), (2, b"later")] {
        bytes.extend_from_slice(&Prefix::of(row, Kind::Result, record).expect("short").encode(&header));
        bytes.extend_from_slice(record);
    }
    fs::write(&path, bytes).expect("written");
    let mut journal = Journal::open(&path, &RUN, 3).expect("opened");
    check_holds(&mut journal, 3, &[(0, Kind::Result, b"first".to_vec()), (1, Kind::Result, b"other".to_vec())]);
}

#[test]
fn records_of_another_run_and_lengths_over_the_file_are_no_records() {
    let (header, other) = (Header { run: RUN, rows: 3 }, Header { run: [1; 32], rows: 3 });
    let check = |prefix: Prefix, of: &Header| {
        let (_folder, path) = place();
        let bytes = [&header.encode()[..], &prefix.encode(of), b"record"].concat();
        fs::write(&path, bytes).expect("written");
        check_holds(&mut Journal::open(&path, &RUN, 3).expect("opened"), 3, &[]);
        assert_eq!(fs::metadata(&path).expect("there").len(), HEADER_BYTES as u64, "the tail is cut");
    };
    let prefix = Prefix::of(0, Kind::Result, b"record").expect("short");
    check(prefix.clone(), &other);
    check(Prefix { length: u32::MAX, ..prefix.clone() }, &header);
    check(Prefix { length: 7, ..prefix.clone() }, &header);
    check(Prefix { length: 5, ..prefix.clone() }, &header);
    check(Prefix { row: u64::MAX, ..prefix }, &header);
}

#[test]
fn records_are_checked_again_when_they_are_read() {
    let (_folder, path) = place();
    let mut journal = Journal::open(&path, &RUN, 2).expect("a new journal");
    append(&mut journal, &(0, Kind::Result, b"zero".to_vec()));
    append(&mut journal, &(1, Kind::Result, b"one".to_vec()));
    journal.sync().expect("synced");
    let whole = fs::read(&path).expect("there");
    for damaged in HEADER_BYTES..whole.len() {
        let mut bytes = whole.clone();
        bytes[damaged] ^= 0x10;
        fs::write(&path, bytes).expect("written");
        let outcome: Result<Vec<_>> = journal.records().expect("readable").collect();
        assert!(outcome.is_err(), "byte {damaged}");
    }
}

#[test]
fn damage_before_the_end_is_told_from_a_torn_tail() {
    let header = Header { run: RUN, rows: 4 };
    let (_folder, path) = place();
    let mut journal = Journal::open(&path, &RUN, 4).expect("a new journal");
    (0..4).for_each(|row| append(&mut journal, &(row, Kind::Result, vec![b'x'; 40])));
    journal.sync().expect("synced");
    let whole = fs::read(&path).expect("there");
    let record = PREFIX_BYTES + 40;
    for damaged in HEADER_BYTES..whole.len() {
        let mut bytes = whole.clone();
        bytes[damaged] ^= 1;
        fs::write(&path, bytes).expect("written");
        let mut file = File::open(&path).expect("there");
        let found = recovery::recover(&mut file, &header, 4).expect("readable");
        let before = (damaged - HEADER_BYTES) / record;
        let damage = found.damage.expect("a damaged record");
        assert_eq!(found.end, (HEADER_BYTES + before * record) as u64, "byte {damaged}");
        assert_eq!(damage.bytes, whole.len() as u64 - found.end, "byte {damaged}");
        assert_eq!(damage.is_followed, before < 3, "byte {damaged}");
    }
}

/// What a property test does with a journal, and with its model.
#[derive(Clone, Debug)]
enum Action {
    /// Appends a record of this many bytes for the next row.
    Append(usize),
    Sync,
    Reopen,
    Read,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => (0..90usize).prop_map(Action::Append),
        1 => Just(Action::Sync),
        1 => Just(Action::Reopen),
        1 => Just(Action::Read),
    ];
    prop::collection::vec(action, 0..24)
}

/// The rows in an order that is neither that of the input nor its reverse.
fn nth_row(count: usize, rows: usize) -> usize {
    (count * 7 + 3) % rows
}

/// Appends, syncs and reopens; returns the records and, for each, where it ends in the file.
fn run(path: &Path, rows: usize, actions: &[Action]) -> (Vec<Record>, Vec<usize>) {
    let mut journal = Journal::open(path, &RUN, rows).expect("opened");
    let (mut records, mut ends, mut end) = (Vec::new(), Vec::new(), HEADER_BYTES);
    for action in actions {
        match *action {
            Action::Append(length) => {
                let row = nth_row(records.len(), rows);
                let record = (row, kind_of(row), (0..length).map(|byte| (byte * 31 + row) as u8).collect());
                append(&mut journal, &record);
                end += PREFIX_BYTES + length;
                records.push(record);
                ends.push(end);
            }
            Action::Sync => journal.sync().expect("synced"),
            Action::Read => check_holds(&mut journal, rows, &records),
            Action::Reopen => {
                journal.sync().expect("synced");
                journal = Journal::open(path, &RUN, rows).expect("opened");
                check_holds(&mut journal, rows, &records);
            }
        }
    }
    journal.sync().expect("synced");
    (records, ends)
}

/// More rows than actions, and no multiple of 7: each row comes once.
const ROWS: usize = 30;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_to_the_tail_a_prefix_is_left_and_the_rest_can_be_added(
        actions in actions(),
        cut in any::<prop::sample::Index>(),
        flip in prop::option::of((any::<prop::sample::Index>(), 1..=255u8)),
    ) {
        let (_folder, path) = place();
        let (records, ends) = run(&path, ROWS, &actions);
        let mut bytes = fs::read(&path).expect("there");
        prop_assert_eq!(bytes.len(), ends.last().copied().unwrap_or(HEADER_BYTES));
        bytes.truncate(cut.index(bytes.len() + 1));
        // A damaged header is refused, which another test is about.
        let mut sound = bytes.len();
        if let Some((place, change)) = flip && bytes.len() > HEADER_BYTES {
            sound = HEADER_BYTES + place.index(bytes.len() - HEADER_BYTES);
            bytes[sound] ^= change;
        }
        fs::write(&path, &bytes).expect("written");
        let mut journal = Journal::open(&path, &RUN, ROWS).expect("opened");
        let kept = ends.iter().filter(|&&end| end <= sound).count();
        check_holds(&mut journal, ROWS, &records[..kept]);
        records[kept..].iter().for_each(|record| append(&mut journal, record));
        journal.sync().expect("synced");
        let mut journal = Journal::open(&path, &RUN, ROWS).expect("opened");
        check_holds(&mut journal, ROWS, &records);
    }

    #[test]
    fn any_bytes_behind_the_header_open_without_harm(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_folder, path) = place();
        fs::write(&path, [&Header { run: RUN, rows: 3 }.encode()[..], &tail].concat()).expect("written");
        check_holds(&mut Journal::open(&path, &RUN, 3).expect("opened"), 3, &[]);
    }
}

#[test]
fn a_journal_cut_at_any_byte_keeps_what_ends_before_the_cut() {
    let (_folder, path) = place();
    let actions: Vec<_> = [40, 0, 7].map(Action::Append).into();
    let (records, ends) = run(&path, ROWS, &actions);
    let whole = fs::read(&path).expect("there");
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).expect("written");
        let mut journal = Journal::open(&path, &RUN, ROWS).expect("opened");
        let kept = ends.iter().filter(|&&end| end <= cut).count();
        check_holds(&mut journal, ROWS, &records[..kept]);
    }
}

#[test]
fn a_header_of_which_the_disk_has_the_length_alone_is_written_again() {
    let (_folder, path) = place();
    for length in 0..=HEADER_BYTES {
        fs::write(&path, vec![0; length]).expect("written");
        let mut journal = Journal::open(&path, &RUN, 1).expect("opened");
        append(&mut journal, &(0, Kind::Result, b"x".to_vec()));
        journal.sync().expect("synced");
        check_holds(&mut Journal::open(&path, &RUN, 1).expect("sound"), 1, &[(0, Kind::Result, b"x".to_vec())]);
    }
}

#[test]
fn a_long_group_reaches_the_disk_without_a_sync() {
    let (_folder, path) = place();
    let length = || fs::metadata(&path).expect("there").len();
    let mut journal = Journal::open(&path, &RUN, 3).expect("a new journal");
    journal.group_age = Duration::MAX;
    append(&mut journal, &(0, Kind::Result, vec![1; 10]));
    assert_eq!(length(), HEADER_BYTES as u64, "it waits for its group");
    // What was only handed to the operating system still belongs to the group.
    journal.settle().expect("written");
    assert_eq!((length(), journal.synced), ((HEADER_BYTES + PREFIX_BYTES + 10) as u64, HEADER_BYTES as u64));
    append(&mut journal, &(1, Kind::Result, vec![2; GROUP_BYTES as usize - 2 * PREFIX_BYTES - 11]));
    journal.settle().expect("written");
    assert_eq!(journal.synced, HEADER_BYTES as u64, "a byte is missing");
    append(&mut journal, &(2, Kind::Result, Vec::new()));
    assert_eq!((length(), journal.synced), (journal.written, journal.written));
}

#[test]
fn a_slow_disk_makes_groups_older_but_not_for_ever() {
    let seconds = Duration::from_secs;
    assert_eq!(age_behind(Duration::from_millis(1)), GROUP_AGE);
    assert_eq!(age_behind(Duration::from_millis(100)), seconds(5));
    assert_eq!(age_behind(seconds(100)), GREATEST_AGE);
}
