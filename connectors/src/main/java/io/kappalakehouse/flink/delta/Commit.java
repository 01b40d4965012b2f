package io.kappalakehouse.flink.delta;

import java.util.List;

/**
 * What all subtasks have written for one checkpoint.
 *
 * @param actions the {@code add} actions, as JSON
 */
record Commit(String appId, long checkpoint, List<String> actions) {}
