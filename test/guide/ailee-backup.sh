# Instead of the hourly backup: a copy that does not verify is not kept, and none is
# deleted for it.
ailee-backup
