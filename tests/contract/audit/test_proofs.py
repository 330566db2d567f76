"""Checkpoints and proofs through their contract: whoever holds an old checkpoint needs to believe nobody."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from acme_audit import notes
from acme_audit.tree import EMPTY, consistent, included, leaf_hash
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from acme.contracts.audit.v1 import (
    AuditCheckpoint,
    AuditStub,
    GetAuditCheckpointRequest,
    GetConsistencyProofRequest,
    GetInclusionProofRequest,
    ListAuditRecordsRequest,
)
from acme.errors import Denied, NotFound
from acme.testing import Platform, User
from tests.audits import Rig

pytestmark = pytest.mark.every_placement


def verified(checkpoint: AuditCheckpoint) -> notes.Checkpoint:
    """What a checkpoint says, when its signature is good by its own key."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(checkpoint.verifier_key.split("+", 2)[2])[1:])
    assert notes.signed_by(checkpoint.note, key)
    return notes.read(checkpoint.note)


async def test_the_newest_checkpoint_is_signed_and_of_all_records(audit: AuditStub, ada: User, log: Rig) -> None:
    request = GetAuditCheckpointRequest(organization_id=ada.organization)
    with pytest.raises(NotFound):
        await audit.get_audit_checkpoint(request)
    for count in (1, 2):
        await log.grow(5, organization_id=ada.organization)
        await log.sign()
        checkpoint = await audit.get_audit_checkpoint(request)
        said = verified(checkpoint)
        assert (said.log, said.size, said.number) == (checkpoint.log, 5 * count, count)
        assert (checkpoint.log, checkpoint.tree_size) == (f"local/{ada.organization}", 5 * count)
        assert (checkpoint.version, checkpoint.root_hash) == (count, said.root.hex())
        assert checkpoint.signed_at == said.signed_at


async def test_a_record_is_proved_to_be_in_the_signed_tree(audit: AuditStub, ada: User, log: Rig) -> None:
    await log.grow(37, organization_id=ada.organization)
    await log.sign()
    await log.grow(3, organization_id=ada.organization)
    root = verified(await audit.get_audit_checkpoint(GetAuditCheckpointRequest(organization_id=ada.organization))).root
    shown = await audit.list_audit_records(ListAuditRecordsRequest(organization_id=ada.organization, page_size=100))
    leaves = {kept.sequence: leaf_hash(kept.canonical.encode()) for kept in shown.records}
    for sequence in (0, 16, 31, 36):
        proof = await audit.get_inclusion_proof(
            GetInclusionProofRequest(organization_id=ada.organization, sequence=sequence)
        )
        assert (proof.sequence, proof.tree_size, proof.version) == (sequence, 37, 37)
        assert (proof.leaf_hash, proof.root_hash) == (leaves[sequence].hex(), root.hex())
        steps = [bytes.fromhex(step) for step in proof.hashes]
        assert included(leaves[sequence], sequence, 37, steps, root)


async def test_a_tree_is_proved_to_begin_a_later_one(audit: AuditStub, ada: User, log: Rig) -> None:
    request = GetAuditCheckpointRequest(organization_id=ada.organization)
    await log.grow(19, organization_id=ada.organization)
    await log.sign()
    first = verified(await audit.get_audit_checkpoint(request))
    await log.grow(30, organization_id=ada.organization)
    await log.sign()
    second = verified(await audit.get_audit_checkpoint(request))
    proof = await audit.get_consistency_proof(
        GetConsistencyProofRequest(organization_id=ada.organization, first_size=19)
    )
    assert (proof.first_root, proof.second_root) == (first.root.hex(), second.root.hex())
    assert (proof.first_size, proof.second_size, proof.version) == (19, 49, 49)
    assert consistent(19, 49, [bytes.fromhex(step) for step in proof.hashes], first.root, second.root)


async def test_proofs_are_given_between_any_sizes(audit: AuditStub, ada: User, log: Rig) -> None:
    await log.grow(10, organization_id=ada.organization)
    proof = await audit.get_consistency_proof(
        GetConsistencyProofRequest(organization_id=ada.organization, first_size=3, second_size=7)
    )
    roots = bytes.fromhex(proof.first_root), bytes.fromhex(proof.second_root)
    assert consistent(3, 7, [bytes.fromhex(step) for step in proof.hashes], *roots)


async def test_the_tree_of_nothing_begins_every_other(audit: AuditStub, ada: User, log: Rig) -> None:
    await log.grow(4, organization_id=ada.organization)
    proof = await audit.get_consistency_proof(
        GetConsistencyProofRequest(organization_id=ada.organization, second_size=4)
    )
    assert (proof.first_size, proof.second_size, proof.first_root, proof.hashes) == (0, 4, EMPTY.hex(), [])


async def test_what_the_log_does_not_have_is_not_proved(audit: AuditStub, ada: User, log: Rig) -> None:
    organization = ada.organization
    await log.grow(4, organization_id=organization)
    for sequence, size in ((4, 4), (0, 5), (0, 0)):  # 0: the newest checkpoint's, and there is none
        with pytest.raises(NotFound):
            await audit.get_inclusion_proof(
                GetInclusionProofRequest(organization_id=organization, sequence=sequence, tree_size=size)
            )
    for first, second in ((5, 4), (1, 5), (1, 0)):
        with pytest.raises(NotFound):
            await audit.get_consistency_proof(
                GetConsistencyProofRequest(organization_id=organization, first_size=first, second_size=second)
            )


async def test_a_quiet_log_is_signed_every_hour(audit: AuditStub, ada: User, log: Rig, platform: Platform) -> None:
    request = GetAuditCheckpointRequest(organization_id=ada.organization)
    await log.grow(2, organization_id=ada.organization)
    await log.sign()
    await log.sign()
    first = await audit.get_audit_checkpoint(request)
    platform.clock.advance(timedelta(hours=1))
    await log.sign()
    second = await audit.get_audit_checkpoint(request)
    assert (first.version, second.version, second.tree_size) == (1, 2, 2)
    assert verified(second).previous == notes.digest(first.note)


async def test_proofs_break_by_no_erasure(audit: AuditStub, ada: User, log: Rig) -> None:
    request = GetInclusionProofRequest(organization_id=ada.organization, sequence=1)
    await log.grow(3, organization_id=ada.organization, subject_id=ada.id)
    await log.sign()
    before = await audit.get_inclusion_proof(request)
    await log.erase(ada.id)
    assert await audit.get_inclusion_proof(request) == before


async def test_only_administrators_get_checkpoints_and_proofs(platform: Platform, ada: User, bob: User) -> None:
    audit = platform.stub(AuditStub, as_=bob)
    with pytest.raises(Denied):
        await audit.get_audit_checkpoint(GetAuditCheckpointRequest(organization_id=ada.organization))
    with pytest.raises(Denied):
        await audit.get_inclusion_proof(GetInclusionProofRequest(organization_id=ada.organization))
    with pytest.raises(Denied):
        await audit.get_consistency_proof(GetConsistencyProofRequest(organization_id=ada.organization, first_size=1))
