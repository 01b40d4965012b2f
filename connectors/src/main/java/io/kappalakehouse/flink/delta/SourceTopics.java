package io.kappalakehouse.flink.delta;

import java.io.IOException;
import java.io.Serializable;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.TopicDescription;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.KafkaFuture;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.Uuid;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/**
 * The Kafka topics that a sink's rows come from, as they were when the job's state began.
 *
 * <p>A topic that is deleted and made anew has its name and begins at offset 0 again. A reader that is at a higher
 * offset either fails, or, once the new log has grown past that, jumps over its first records without a word. Its
 * source can't tell, so the sink asks before it commits.
 *
 * @param ids by the topic's name without {@code prefix}, what Kafka called it, in Base64's ordinary alphabet
 * @param prefix what Kafka's names have before those of {@code ids}
 * @param reader names the job whose commits say how far it has read them; null: they don't
 */
record SourceTopics(String bootstrapServers, Map<String, String> ids, String prefix, String reader)
    implements Serializable {

  SourceTopics {
    ids = new TreeMap<>(ids);
  }

  Admin connect() {
    return Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers));
  }

  /**
   * Fails unless the topics are still the same.
   *
   * <p>An id never comes back. So all that was read before a check that passes was read of these topics.
   */
  void check(Admin admin) throws IOException, InterruptedException {
    List<String> names = ids.keySet().stream().map(prefix::concat).toList();
    Map<String, KafkaFuture<TopicDescription>> described = admin.describeTopics(names).topicNameValues();
    for (Map.Entry<String, String> topic : ids.entrySet()) {
      String name = prefix + topic.getKey();
      check(name, topic.getValue(), described.get(name));
    }
  }

  private static void check(String name, String id, KafkaFuture<TopicDescription> described)
      throws IOException, InterruptedException {
    String now;
    try {
      now = text(described.get().topicId());
    } catch (ExecutionException failure) {
      if (failure.getCause() instanceof UnknownTopicOrPartitionException) {
        throw new IllegalStateException("topic %s was deleted; nothing more is committed".formatted(name));
      }
      throw new IOException("Kafka does not say whether topic %s is still the same".formatted(name), failure.getCause());
    }
    if (!now.equals(id)) {
      throw new IllegalStateException(
          ("topic %s was made anew (its id was %s and is %s): the job's offsets are those of the old one, and nothing"
                  + " more is committed; see: lakehouse job accept-loss")
              .formatted(name, id, now));
    }
  }

  /**
   * What commits call the position in a partition.
   *
   * @throws IllegalArgumentException the topic is none of these
   */
  String position(String topic, int partition) {
    String id = ids.get(topic);
    if (id == null) {
      throw new IllegalArgumentException("a row of topic %s; 'source.topics' has %s".formatted(topic, ids.keySet()));
    }
    return "read/%s@%s/%d".formatted(topic, id, partition);
  }

  /** Java's client writes ids in the URL's alphabet, librdkafka, which gave this one, in the ordinary one. */
  private static String text(Uuid id) {
    return id.toString().replace('-', '+').replace('_', '/');
  }
}
