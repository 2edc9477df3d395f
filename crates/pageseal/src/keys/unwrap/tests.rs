//! Which slot opens with what, and what is said when none does.

use std::sync::Arc;

use super::*;
use crate::keys::generate::{GeneratedIdentity, generate_identity};
use crate::keys::identities::IdentitySource;
use crate::keys::recipients::Recipient;
use crate::keys::test_support::{
    FakePrompt, Keys, PLUGIN_IDENTITY, PLUGIN_RECIPIENT, Scratch, TEST_LOG_N, encrypted_with, passphrase,
    with_claimed_log_n,
};

fn native_slot(keys: &Keys, identity: &GeneratedIdentity) -> Slot {
    keys.wrap(&Recipient::parse(&identity.public).unwrap()).unwrap()
}

fn passphrase_slot(keys: &Keys, text: &str) -> Slot {
    keys.wrap(&Recipient::passphrase_with_log_n(passphrase(text), TEST_LOG_N)).unwrap()
}

/// As [`PLUGIN_RECIPIENT`]'s plugin would make it; the stanza's content is the plugin's own affair.
fn plugin_slot(keys: &Keys) -> Slot {
    let mut slot = native_slot(keys, &generate_identity());
    slot.kind = SlotKind::Plugin;
    slot
}

fn load(content: &[u8], prompt: &Arc<FakePrompt>) -> Identities {
    let scratch = Scratch::new();
    let sources = [IdentitySource::File(scratch.file("key.txt", content))];
    Identities::load(sources, prompt.clone()).unwrap()
}

fn with_file(identity: &GeneratedIdentity) -> Identities {
    load(identity.file_contents().as_bytes(), &FakePrompt::absent())
}

fn with_passphrase(text: &str) -> Identities {
    let sources = [IdentitySource::Passphrase(passphrase(text))];
    Identities::load(sources, FakePrompt::absent()).unwrap()
}

fn with_prompt(prompt: &Arc<FakePrompt>) -> Identities {
    Identities::load([IdentitySource::Prompt], prompt.clone()).unwrap()
}

#[track_caller]
fn assert_opens(keys: &Keys, area: &SlotArea, identities: &Identities) {
    let file_key = unwrap_slots(area, &keys.header_hash, identities, &Cancellation::new()).unwrap();
    assert_eq!(file_key.expose(), keys.file_key.expose());
}

fn error(keys: &Keys, area: &SlotArea, identities: &Identities) -> KeyError {
    unwrap_slots(area, &keys.header_hash, identities, &Cancellation::new()).unwrap_err()
}

#[track_caller]
fn assert_flaw(error: KeyError, expected: SlotFlaw) {
    match error {
        KeyError::SlotMismatch { slot: 0, flaw } => assert_eq!(flaw, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_identity_opens_its_slot_wherever_it_is() {
    let keys = Keys::new(1);
    let people: Vec<_> = (0..4).map(|_| generate_identity()).collect();
    let area = keys.area(people.iter().map(|one| native_slot(&keys, one)).collect::<Vec<_>>());
    for one in &people {
        assert_opens(&keys, &area, &with_file(one));
    }
    let mut both = with_file(&generate_identity());
    both.native.extend(with_file(&people[2]).native);
    assert_opens(&keys, &area, &both);
}

#[test]
fn a_passphrase_opens_its_slot_among_others() {
    let keys = Keys::new(1);
    let area = keys.area([
        native_slot(&keys, &generate_identity()),
        passphrase_slot(&keys, "open sesame"),
        passphrase_slot(&keys, "correct horse"),
        plugin_slot(&keys),
    ]);
    assert_opens(&keys, &area, &with_passphrase("open sesame"));
    assert_opens(&keys, &area, &with_passphrase("correct horse"));
    assert_opens(&keys, &area, &with_prompt(&FakePrompt::answering("correct horse")));
}

#[test]
fn a_wrong_key_says_what_would_fit() {
    let keys = Keys::new(1);
    let area = keys.area([
        native_slot(&keys, &generate_identity()),
        passphrase_slot(&keys, "open sesame"),
        native_slot(&keys, &generate_identity()),
        plugin_slot(&keys),
    ]);
    let wrong = [
        with_file(&generate_identity()),
        with_passphrase("open barley"),
        with_prompt(&FakePrompt::answering("open barley")),
    ];
    for identities in &wrong {
        let KeyError::NoKeyFits { slot_types } = error(&keys, &area, identities) else {
            panic!("{identities:?}");
        };
        assert_eq!(slot_types, SlotCounts { x25519: 2, passphrase: 1, plugin: 1 });
    }
}

#[test]
fn no_keys_at_all_is_an_error_of_its_own() {
    let keys = Keys::new(1);
    let area = keys.area([native_slot(&keys, &generate_identity())]);
    assert!(matches!(error(&keys, &area, &Identities::none()), KeyError::NoIdentities));
}

#[test]
fn the_prompt_is_the_last_resort_and_asked_once() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let prompt = FakePrompt::answering("open sesame");
    let mut identities = with_prompt(&prompt);
    let sealed = keys.area([passphrase_slot(&keys, "open sesame"), native_slot(&keys, &identity)]);

    let no_passphrase = keys.area([native_slot(&keys, &identity)]);
    assert!(matches!(error(&keys, &no_passphrase, &identities), KeyError::NoIdentities));
    identities.native = with_file(&identity).native;
    assert_opens(&keys, &sealed, &identities);
    identities.native.clear();
    identities.passphrases = vec![passphrase("open sesame")];
    assert_opens(&keys, &sealed, &identities);
    assert!(prompt.log().is_empty(), "asked without need");

    identities.passphrases.clear();
    assert_opens(&keys, &sealed, &identities);
    assert_opens(&keys, &sealed, &identities);
    assert_eq!(prompt.log().len(), 1);
}

#[test]
fn nobody_to_ask_is_told_apart_from_a_wrong_passphrase() {
    let keys = Keys::new(1);
    let area = keys.area([passphrase_slot(&keys, "open sesame")]);
    let identities = with_prompt(&FakePrompt::absent());
    assert!(matches!(error(&keys, &area, &identities), KeyError::NoPassphrase));
    let identities = with_prompt(&FakePrompt::failing());
    assert!(matches!(error(&keys, &area, &identities), KeyError::Prompt { .. }));
    let only_native = keys.area([native_slot(&keys, &generate_identity())]);
    let identities = with_prompt(&FakePrompt::absent());
    assert!(matches!(error(&keys, &only_native, &identities), KeyError::NoIdentities));
}

#[test]
fn an_encrypted_identity_file_opens_a_slot() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let area = keys.area([native_slot(&keys, &identity)]);
    let content = encrypted_with("my file", TEST_LOG_N, identity.file_contents().as_bytes());
    let prompt = FakePrompt::answering("my file");
    assert_opens(&keys, &area, &load(&content, &prompt));
    assert_eq!(prompt.log().len(), 1);
}

#[test]
fn the_key_of_another_file_is_not_taken() {
    let (keys, other) = (Keys::new(1), Keys::new(2));
    let identity = generate_identity();
    let foreign = native_slot(&other, &identity);
    let area = keys.area([foreign.clone()]);
    assert_flaw(error(&keys, &area, &with_file(&identity)), SlotFlaw::OtherFile);
    let area = keys.area([passphrase_slot(&other, "open sesame")]);
    assert_flaw(error(&keys, &area, &with_passphrase("open sesame")), SlotFlaw::OtherFile);
    let area = keys.area([foreign, native_slot(&keys, &identity)]);
    assert_opens(&keys, &area, &with_file(&identity));
}

#[test]
fn a_slot_for_other_header_fields_is_not_taken() {
    let mut keys = Keys::new(1);
    let identity = generate_identity();
    let area = keys.area([native_slot(&keys, &identity)]);
    keys.header_hash[31] ^= 1;
    assert_flaw(error(&keys, &area, &with_file(&identity)), SlotFlaw::OtherHeader);
}

#[test]
fn the_payload_is_80_bytes_exactly() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let recipient: age::x25519::Recipient = identity.public.parse().unwrap();
    let mut payload = [&keys.file_key.expose()[..], &keys.file_id, &keys.header_hash, &[0; 70_000]].concat();
    let slot_with = |payload: &[u8]| Slot {
        age_file: age::encrypt(&recipient, payload).unwrap(),
        ..native_slot(&keys, &identity)
    };
    assert_opens(&keys, &keys.area([slot_with(&payload[..80])]), &with_file(&identity));
    for len in [0, 1, 79, 81, 160, 65_536, 70_080] {
        let area = keys.area([slot_with(&payload[..len])]);
        assert_flaw(error(&keys, &area, &with_file(&identity)), SlotFlaw::WrongLength);
    }
    payload[0] ^= 1;
    let area = keys.area([slot_with(&payload[..80])]);
    let found = unwrap_slots(&area, &keys.header_hash, &with_file(&identity), &Cancellation::new()).unwrap();
    assert_ne!(found.expose(), keys.file_key.expose(), "only the commitment tells this one");
}

#[test]
fn excessive_work_is_refused_without_doing_it() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let mut greedy = passphrase_slot(&keys, "open sesame");
    for log_n in [23, 40, 255] {
        greedy.age_file = with_claimed_log_n(&greedy.age_file, log_n);
        let area = keys.area([greedy.clone()]);
        let error = error(&keys, &area, &with_passphrase("open sesame"));
        assert!(matches!(error, KeyError::ExcessiveWork { log_n: found, limit: 22 } if found == log_n));
    }
    let area = keys.area([greedy, native_slot(&keys, &identity), passphrase_slot(&keys, "open sesame")]);
    assert_opens(&keys, &area, &with_passphrase("open sesame"));
    assert_opens(&keys, &area, &with_file(&identity));
    let wrong = with_file(&generate_identity());
    assert!(matches!(error(&keys, &area, &wrong), KeyError::NoKeyFits { .. }));
}

#[test]
fn no_changed_byte_and_no_missing_byte_goes_unnoticed() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let identities = with_file(&identity);
    let slot = native_slot(&keys, &identity);
    let expect_failure = |age_file: Vec<u8>, what: &str, at: usize| {
        let area = keys.area([Slot { age_file, ..slot.clone() }]);
        match unwrap_slots(&area, &keys.header_hash, &identities, &Cancellation::new()) {
            Err(KeyError::SlotMismatch { .. } | KeyError::NoKeyFits { .. }) => {}
            Err(other) => panic!("{what} {at}: {other:?}"),
            Ok(_) => panic!("{what} {at}: not noticed"),
        }
    };
    for at in 0..slot.age_file.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut changed = slot.age_file.clone();
            changed[at] ^= bit;
            expect_failure(changed, "byte", at);
        }
        expect_failure(slot.age_file[..at].to_vec(), "length", at);
    }
    expect_failure([&slot.age_file[..], b"\0"].concat(), "length", slot.age_file.len() + 1);
}

#[test]
fn flaws_are_told_apart() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let identities = with_file(&identity);
    let slot = native_slot(&keys, &identity);
    let flaw_of = |age_file: &[u8]| {
        let area = keys.area([Slot { age_file: age_file.to_vec(), ..slot.clone() }]);
        error(&keys, &area, &identities)
    };
    assert_flaw(flaw_of(b"hello"), SlotFlaw::NotAgeFile);
    let newer = String::from_utf8_lossy(&slot.age_file[..21]).replace("/v1", "/v2");
    assert_flaw(flaw_of(newer.as_bytes()), SlotFlaw::NotAgeFile);
    let mut changed = slot.age_file.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_flaw(flaw_of(&changed), SlotFlaw::DamagedPayload);
    let mac = slot.age_file.windows(4).position(|bytes| bytes == b"--- ").unwrap() + 4;
    let mut changed = slot.age_file.clone();
    changed[mac] = if changed[mac] == b'A' { b'B' } else { b'A' };
    assert_flaw(flaw_of(&changed), SlotFlaw::ForgedHeader);
}

#[test]
fn a_slot_is_of_the_type_that_it_says() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let mut native = native_slot(&keys, &identity);
    native.kind = SlotKind::Passphrase;
    let area = keys.area([native]);
    assert_flaw(error(&keys, &area, &with_passphrase("open sesame")), SlotFlaw::WrongType);
    let mut secret = passphrase_slot(&keys, "open sesame");
    secret.kind = SlotKind::X25519;
    let area = keys.area([secret]);
    assert_flaw(error(&keys, &area, &with_file(&identity)), SlotFlaw::WrongType);
}

#[test]
fn a_missing_plugin_matters_only_if_nothing_else_fits() {
    let keys = Keys::new(1);
    let identity = generate_identity();
    let content = format!("{PLUGIN_IDENTITY}\n{}", *identity.file_contents());
    let identities = load(content.as_bytes(), &FakePrompt::absent());
    let area = keys.area([plugin_slot(&keys)]);
    match error(&keys, &area, &identities) {
        KeyError::Plugin { name, .. } => assert_eq!(name, "pagesealtest"),
        other => panic!("{other:?}"),
    }
    let area = keys.area([plugin_slot(&keys), native_slot(&keys, &identity)]);
    assert_opens(&keys, &area, &identities);
    let only_passphrase = keys.area([passphrase_slot(&keys, "open sesame")]);
    assert!(matches!(error(&keys, &only_passphrase, &identities), KeyError::NoKeyFits { .. }));
    assert!(matches!(keys.wrap(&Recipient::parse(PLUGIN_RECIPIENT).unwrap()), Err(KeyError::Plugin { .. })));
}

#[test]
fn many_dear_slots_are_not_all_worked_through() {
    let keys = Keys::new(1);
    let mut slots: Vec<_> = (0..31).map(|_| passphrase_slot(&keys, "open barley")).collect();
    for slot in &mut slots {
        slot.age_file = with_claimed_log_n(&slot.age_file, 22);
    }
    slots.push(passphrase_slot(&keys, "open sesame"));
    // The honest one is tried first, though it is last.
    let area = keys.area(slots.clone());
    assert_opens(&keys, &area, &with_passphrase("open sesame"));
}

#[test]
fn slots_beyond_the_work_for_all_are_skipped_and_told() {
    let keys = Keys::new(1);
    let area = keys.area((0..3).map(|_| passphrase_slot(&keys, "open barley")).collect::<Vec<_>>());
    let cancellation = Cancellation::new();
    let mut search = Search {
        area: &area,
        header_hash: &keys.header_hash,
        cancellation: &cancellation,
        total_work: 2 << TEST_LOG_N,
        obstacles: Obstacles::default(),
    };
    assert!(search.with_passphrases(&[passphrase("open sesame")]).unwrap().is_none());
    assert!(matches!(search.obstacles.into_error(&area), KeyError::SlotsSkipped { skipped: 1 }));
}

#[test]
fn a_wish_to_stop_ends_the_search() {
    let keys = Keys::new(1);
    let area = keys.area([passphrase_slot(&keys, "open sesame")]);
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let stopped = unwrap_slots(&area, &keys.header_hash, &with_passphrase("open sesame"), &cancellation);
    assert!(matches!(stopped, Err(KeyError::Cancelled)));
}
