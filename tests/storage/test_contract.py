"""What a later version wrote is refused, also before a rebuild writes beside it."""

import json

import pytest

from storage.contract import refuse_newer
from storage.errors import ContractError, ShardError, VersionError
from storage.layout import Root
from storage.markers import read_shard_info
from storage.records import CONTRACT_VERSION
from storage.versions import open_version, publish_version
from storage.work import open_work


def test_only_a_later_contract_is_refused():
    for known in (CONTRACT_VERSION, CONTRACT_VERSION - 1, None, "x"):
        refuse_newer(known, where="a root")
    with pytest.raises(ContractError, match="a root: written by a later version of hcp"):
        refuse_newer(CONTRACT_VERSION + 1, where="a root")
    assert issubclass(ContractError, ShardError)
    assert issubclass(ContractError, VersionError)


def test_a_later_root_gets_no_plan(tmp_path, fill_root, make_unit_of):
    version = publish_version(str(tmp_path), fill_root(str(tmp_path)), config={})
    file = tmp_path / "versions" / f"{version.id}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"contract": 9}))
    for use in (
        open_version,
        lambda root: open_work(Root.of(root), [make_unit_of(1)], settings=""),
    ):
        with pytest.raises(ContractError, match="contract 9"):
            use(str(tmp_path))
    assert not (tmp_path / "plans").exists()


def test_a_later_marker_is_named(tmp_path, fill_root):
    (name,) = fill_root(str(tmp_path), 1)
    file = tmp_path / "shards" / f"{name}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"contract": 9}))
    with pytest.raises(ContractError, match=f"{name}.json: written by a later version"):
        read_shard_info(Root.of(tmp_path), name)
