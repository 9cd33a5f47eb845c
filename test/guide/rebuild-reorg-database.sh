# Procedure 3 of the recovery guide, with the lines of the guide.
# Ours: $LAST_KNOWN_HEIGHT, which is <last_known_height> in the guide.

# 1. Stop the node
sudo systemctl stop ailee-node

# 2. Backup corrupted database
mv /var/lib/ailee/reorg_db /var/lib/ailee/reorg_db.corrupted

# 3. Create fresh database
./ailee_init_reorg_db --path /var/lib/ailee/reorg_db

# 4. Resync block hashes from Bitcoin
./ailee_resync_blocks --start-height $LAST_KNOWN_HEIGHT \
                       --db-path /var/lib/ailee/reorg_db \
                       --bitcoin-rpc http://localhost:8332

# 5. Restart node
sudo systemctl start ailee-node
