"""The workspace's storage account: blobs, listings, signatures."""
