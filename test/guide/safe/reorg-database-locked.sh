# In place of "Reorg database locked": the tools say who has it.
./ailee_resync_blocks --db-path /var/lib/ailee/reorg_db --bitcoin-rpc http://localhost:8332
sudo systemctl stop ailee-node
./ailee_resync_blocks --db-path /var/lib/ailee/reorg_db --bitcoin-rpc http://localhost:8332
sudo systemctl start ailee-node
