# In place of the hourly backup: nothing is kept that does not verify, and nothing
# deleted for it.
ailee-backup
