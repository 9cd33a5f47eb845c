# Procedure 4 of the recovery guide, with the lines of the guide.

# 1. Stop the node
sudo systemctl stop ailee-node

# 2. Backup current state
mkdir -p /var/lib/ailee/recovery_$(date +%s)
cp -r /var/lib/ailee/l2_snapshots.dat \
      /var/lib/ailee/reorg_db \
      /var/lib/ailee/recovery_$(date +%s)/

# 3. Remove corrupted state
rm -f /var/lib/ailee/l2_snapshots.dat
rm -rf /var/lib/ailee/reorg_db

# 4. Initialize fresh state
./ailee_init_node --data-dir /var/lib/ailee

# 5. Restart node
sudo systemctl start ailee-node

# 6. Re-anchor current state
./ailee_create_anchor --l2-state-file /tmp/current_state.json
