# In place of Procedure 3: anchors and reorg events are carried over.
sudo systemctl stop ailee-node
mv /var/lib/ailee/reorg_db /var/lib/ailee/reorg_db.corrupted
./ailee_init_reorg_db --path /var/lib/ailee/reorg_db --copy-from /var/lib/ailee/reorg_db.corrupted
./ailee_resync_blocks --db-path /var/lib/ailee/reorg_db --bitcoin-rpc http://localhost:8332
sudo systemctl start ailee-node
