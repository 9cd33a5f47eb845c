# "Reorg database locked" of the recovery guide: the lines are the guide's.
# Ours: "failed &&", which is what the comment in front of it says: grep finds none.

# Verify no ailee process is running
ps aux | grep ailee

# If no process, remove stale lock
failed &&
sudo rm /var/lib/ailee/reorg_db/LOCK

# Restart node
sudo systemctl start ailee-node
