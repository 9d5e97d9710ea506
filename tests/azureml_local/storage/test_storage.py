"""The storage account, seen through Microsoft's own blob client and through signatures made by hand."""

import datetime as dt
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.azureml_local.conftest import Instance, Wire

CONTAINER = "azureml"


class Storage:
    """Microsoft's blob client on the instance's account."""

    def __init__(self, wire: Wire) -> None:
        self.blobs = wire.service.blobs
        self.wire = wire

    def url(self, name: str, permissions: str = "racwdl") -> str:
        return f"{self.blobs.url(CONTAINER, name)}?{self.blobs.key.container_sas(CONTAINER, permissions)}"

    def call(self, method: str, name: str, permissions: str = "racwdl", **options: Any) -> Any:
        headers = {"x-ms-blob-type": "BlockBlob", **options.pop("headers", {}), "authorization": ""}
        return self.wire.call(method, self.url(name, permissions), headers=headers, **options)


@pytest.fixture
def storage(wire: Wire) -> Storage:
    return Storage(wire)


def test_a_blob_is_a_file_and_a_file_is_a_blob(storage: Storage) -> None:
    assert storage.call("PUT", "a/b c.txt", content=b"hello").status_code == 201
    assert storage.blobs.path(CONTAINER, "a/b c.txt").read_bytes() == b"hello"
    storage.blobs.path(CONTAINER, "a/written.txt").write_bytes(b"by a job")
    response = storage.call("GET", "a/written.txt")
    assert (response.content, response.headers["content-type"]) == (b"by a job", "application/octet-stream")


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=8-100", 206, b"89"),
        ("bytes=10-", 416, None),
        ("bytes=5-2", 416, None),
        ("lines=1-2", 416, None),
    ],
)
def test_ranges(storage: Storage, header: str, status: int, content: bytes | None) -> None:
    storage.call("PUT", "digits", content=b"0123456789")
    response = storage.call("GET", "digits", headers={"x-ms-range": header})
    assert response.status_code == status
    if content is not None:
        assert response.content == content
        assert response.headers["content-range"].endswith("/10")


def test_metadata_belongs_to_the_bytes_it_was_set_on(storage: Storage) -> None:
    storage.call("PUT", "m", content=b"1", headers={"x-ms-meta-name": "first"})
    url = f"{storage.url('m')}&comp=metadata"
    assert (
        storage.wire.call("PUT", url, headers={"x-ms-meta-name": "set", "authorization": ""}).status_code
        == 200
    )
    assert storage.call("HEAD", "m").headers["x-ms-meta-name"] == "set"
    storage.call("PUT", "m", content=b"2")
    assert "x-ms-meta-name" not in storage.call("HEAD", "m").headers


def test_blocks_make_a_blob_in_the_order_of_their_list(storage: Storage) -> None:
    for block, content in (("QQ==", b"first "), ("Qg==", b"second")):
        url = f"{storage.url('blocks')}&comp=block&blockid={block}"
        assert (
            storage.wire.call("PUT", url, content=content, headers={"authorization": ""}).status_code == 201
        )
    assert storage.call("HEAD", "blocks").status_code == 404, "no blob before its list is committed"
    commit = f"{storage.url('blocks')}&comp=blocklist"
    unknown = b"<BlockList><Latest>WA==</Latest></BlockList>"
    refused = storage.wire.call("PUT", commit, content=unknown, headers={"authorization": ""})
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (400, "InvalidBlockList")
    listed = b"<BlockList><Latest>Qg==</Latest><Latest>QQ==</Latest></BlockList>"
    assert storage.wire.call("PUT", commit, content=listed, headers={"authorization": ""}).status_code == 201
    assert storage.call("GET", "blocks").content == b"secondfirst "


def test_listing_by_prefix_delimiter_and_page(storage: Storage) -> None:
    for name in ("logs/1", "logs/2", "logs/deep/3", "other & more"):
        storage.call("PUT", name, content=b"x", headers={"x-ms-meta-k": "v<>"})

    def names(query: str) -> list[str]:
        response = storage.wire.call(
            "GET", f"{storage.url('')}&restype=container&comp=list{query}", headers={"authorization": ""}
        )
        assert response.status_code == 200
        return re.findall(r"<Name>(.*?)</Name>", response.text)

    assert names("") == ["logs/1", "logs/2", "logs/deep/3", "other &amp; more"]
    assert names("&prefix=logs/&delimiter=/") == ["logs/1", "logs/2", "logs/deep/"]
    assert names("&prefix=lo") == ["logs/1", "logs/2", "logs/deep/3"]
    assert names("&maxresults=2") == ["logs/1", "logs/2"]
    assert names("&maxresults=2&marker=logs/deep/3") == ["logs/deep/3", "other &amp; more"]
    assert names("&prefix=none/") == []


@pytest.mark.parametrize(
    ("method", "name", "headers", "status", "code"),
    [
        ("GET", "missing", {}, 404, "BlobNotFound"),
        ("DELETE", "missing", {}, 404, "BlobNotFound"),
        ("PUT", "there", {"if-none-match": "*"}, 409, "BlobAlreadyExists"),
        ("GET", "there", {"if-match": '"0x1"'}, 412, "ConditionNotMet"),
        ("PUT", "there/below", {}, 409, "ResourceTypeMismatch"),
        ("PUT", "%2e%2e/%2e%2e/state.db", {}, 400, "InvalidUri"),
        ("PUT", "x" * 300, {}, 400, "InvalidUri"),
        ("PUT", "page", {"x-ms-blob-type": "PageBlob"}, 501, "NotImplemented"),
        ("PUT", "copy", {"x-ms-copy-source": "https://elsewhere"}, 501, "NotImplemented"),
    ],
)
def test_what_storage_refuses(
    storage: Storage, method: str, name: str, headers: dict[str, str], status: int, code: str
) -> None:
    storage.call("PUT", "there", content=b"1")
    response = storage.call(method, name, headers=headers, content=b"2" if method == "PUT" else b"")
    assert response.status_code == status
    assert response.headers["x-ms-error-code"] == code
    assert f"<Code>{code}</Code>" in response.text
    assert storage.call("GET", "there").content == b"1"


def test_deleting_leaves_no_empty_folders(storage: Storage) -> None:
    storage.call("PUT", "a/b/c", content=b"1")
    assert storage.call("DELETE", "a/b/c").status_code == 202
    assert not storage.blobs.path(CONTAINER, "a").exists()
    assert storage.blobs.has_container(CONTAINER)


@pytest.mark.parametrize(
    ("permissions", "method", "status"),
    [("r", "GET", 200), ("r", "PUT", 403), ("r", "DELETE", 403), ("w", "GET", 403), ("cw", "PUT", 201)],
)
def test_a_sas_gives_what_it_says_and_no_more(
    storage: Storage, permissions: str, method: str, status: int
) -> None:
    storage.call("PUT", "blob", content=b"1")
    assert storage.call(method, "blob", permissions).status_code == status


def test_a_sas_is_for_its_container_until_it_expires(storage: Storage) -> None:
    storage.call("PUT", "blob", content=b"1")
    good = storage.url("blob", "r")
    for bad in (
        good.replace("sp=r", "sp=rw"),
        re.sub(r"se=\d{4}", "se=2999", good),
        good.replace(f"/{CONTAINER}/", f"/{storage.blobs.datastores['workspaceblobstore']}/"),
    ):
        response = storage.wire.call("GET", bad, headers={"authorization": ""})
        assert (response.status_code, response.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")
    one = storage.blobs.key.blob_sas(CONTAINER, "blob")
    assert (
        storage.wire.call(
            "GET", f"{storage.blobs.url(CONTAINER, 'blob')}?{one}", headers={"authorization": ""}
        ).status_code
        == 200
    )


def test_nothing_without_a_signature(storage: Storage) -> None:
    url = storage.blobs.url(CONTAINER, "blob")
    for header in ("", "SharedKey somebody:AAAA", "Bearer nonsense"):
        assert storage.wire.call("GET", url, headers={"authorization": header}).status_code in (401, 403)
    token = storage.wire.service.identity.token("https://storage.azure.com")
    response = storage.wire.call("GET", url, headers={"authorization": f"Bearer {token}"})
    assert (response.status_code, response.headers["x-ms-error-code"]) == (404, "BlobNotFound")


def test_a_datastore_uri_is_a_path(wire: Wire) -> None:
    blobs = wire.service.blobs
    folder = blobs.path(blobs.datastores["workspaceblobstore"], "azureml/job/out")
    for uri in (
        "azureml://datastores/workspaceblobstore/paths/azureml/job/out/",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/workspaceblobstore/paths/azureml/job/out",
        blobs.url(blobs.datastores["workspaceblobstore"], "azureml/job/out"),
    ):
        assert blobs.datastore_path(uri) == folder


@pytest.mark.slow
def test_microsofts_client_agrees_about_signatures(azure: Instance, ml_client: Any, tmp_path: Path) -> None:
    """SharedKey with odd names and metadata, SAS made by the client, more than one block, ranged download."""
    from azure.storage.blob import BlobSasPermissions, BlobServiceClient, generate_blob_sas

    store = ml_client.datastores.get("workspaceblobstore", include_secrets=True)
    key = store.credentials.account_key
    url = f"https://{store.account_name}.blob.core.windows.net"
    content = os.urandom(9 << 20)
    with BlobServiceClient(
        url,
        credential=key,
        max_single_put_size=1 << 20,
        max_block_size=4 << 20,
        max_single_get_size=1 << 20,
        max_chunk_get_size=4 << 20,
    ) as service:
        container = service.get_container_client(store.container_name)
        name = "odd names/ä+b %25 &=?.bin"
        container.upload_blob(name, content, metadata={"upload_status": "completed", "a1": "x", "a_b": "y"})
        assert container.download_blob(name, max_concurrency=2).readall() == content
        listed = list(container.list_blobs(name_starts_with="odd", include=["metadata"]))
        assert [(blob.name, blob.size) for blob in listed] == [(name, len(content))]
        assert listed[0].metadata == {"upload_status": "completed", "a1": "x", "a_b": "y"}
        container.upload_blob("empty", b"", overwrite=True)
        assert container.download_blob("empty").readall() == b""
    sas = generate_blob_sas(
        store.account_name,
        store.container_name,
        "empty",
        account_key=key,
        permission=BlobSasPermissions(read=True),
        expiry=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5),
    )
    with BlobServiceClient(url, credential=sas) as service:
        assert service.get_blob_client(store.container_name, "empty").exists()
