# "Reorg database locked" of the recovery guide, with the lines of the guide.
# Ours: "failed &&", as the comment before it says: grep finds none.

# Verify no ailee process is running
ps aux | grep ailee

# If no process, remove stale lock
failed &&
sudo rm /var/lib/ailee/reorg_db/LOCK

# Restart node
sudo systemctl start ailee-node
