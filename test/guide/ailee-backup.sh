# Instead of the hourly backup: a copy that does not verify is not kept, and nothing is
# deleted to make room for it.
ailee-backup
