package io.kappalakehouse.flink.delta;

import java.util.List;

/**
 * What all subtasks have written for one checkpoint.
 *
 * @param actions {@code add} for the files, {@code txn} for how far their rows were read; as JSON
 */
record Commit(String appId, long checkpoint, List<String> actions) {}
