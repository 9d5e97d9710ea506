"""A container's blobs as the storage service lists them.

https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape

from azureml_local.responses import whole_number
from azureml_local.storage.blobs import Blobs, etag, http_date

_PAGE_COUNT = 5000


def listing(blobs: Blobs, container: str, query: Mapping[str, str]) -> str:
    """The XML of one page: ``prefix``, ``delimiter``, ``marker``, ``maxresults``, ``include=metadata``."""
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("marker", "")
    page_count = min(whole_number(query.get("maxresults"), _PAGE_COUNT) or _PAGE_COUNT, _PAGE_COUNT)
    with_metadata = "metadata" in query.get("include", "").split(",")
    entries = _entries(blobs.names(container, prefix), prefix, delimiter)
    page = [name for name in entries if name >= marker]
    body = "".join(
        f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
        if delimiter and name.endswith(delimiter)
        else _entry(blobs, container, name, with_metadata)
        for name in page[:page_count]
    )
    following = escape(page[page_count]) if len(page) > page_count else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<EnumerationResults ServiceEndpoint="https://{blobs.host}/" ContainerName="{container}">'
        f"<Prefix>{escape(prefix)}</Prefix><MaxResults>{page_count}</MaxResults>"
        f"<Delimiter>{escape(delimiter)}</Delimiter>"
        f"<Blobs>{body}</Blobs><NextMarker>{following}</NextMarker></EnumerationResults>"
    )


def _entries(names: Iterator[str], prefix: str, delimiter: str) -> list[str]:
    if not delimiter:
        return list(names)
    entries = dict.fromkeys(
        name[: cut + len(delimiter)] if (cut := name.find(delimiter, len(prefix))) >= 0 else name
        for name in names
    )
    return list(entries)


def _entry(blobs: Blobs, container: str, name: str, with_metadata: bool) -> str:
    file, details = blobs.path(container, name), blobs.details(container, name)
    try:
        date, tag, size_bytes = http_date(file), etag(file).strip('"'), file.stat().st_size
    except FileNotFoundError:  # a job removed it since it was found: it is no entry any more
        return ""
    metadata = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in details["metadata"].items())
    md5 = f"<Content-MD5>{details['content_md5']}</Content-MD5>" if details["content_md5"] else ""
    return (
        f"<Blob><Name>{escape(name)}</Name><Properties><Creation-Time>{date}</Creation-Time>"
        f"<Last-Modified>{date}</Last-Modified><Etag>{tag}</Etag>"
        f"<Content-Length>{size_bytes}</Content-Length>"
        f"<Content-Type>{escape(details['content_type'])}</Content-Type>{md5}"
        "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><LeaseStatus>unlocked</LeaseStatus>"
        "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties>"
        + (f"<Metadata>{metadata}</Metadata>" if with_metadata else "")
        + "</Blob>"
    )
