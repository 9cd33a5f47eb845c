# Procedure 1 of the recovery guide, with the lines of the guide.
# Ours: "failed &&", as the comment before it says.

# 1. Stop the node
sudo systemctl stop ailee-node

# 2. Verify snapshot file integrity
./ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat

# 3. If verification fails, restore from backup
failed &&
cp /var/lib/ailee/backups/l2_snapshots_latest.dat.bak \
   /var/lib/ailee/l2_snapshots.dat

# 4. Restart the node
sudo systemctl start ailee-node

# 5. Monitor logs
sudo journalctl -u ailee-node -f
