package io.kappalakehouse.flink.delta;

import java.io.IOException;
import java.io.Serializable;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.Uuid;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/**
 * The Kafka topic that a sink's rows come from, as it was when the job's state began.
 *
 * <p>A topic that is deleted and made anew has its name and begins at offset 0 again. A reader that is at a higher
 * offset either fails, or, once the new log has grown past that, jumps over its first records without a word. Its
 * source can't tell, so the sink asks before it commits.
 *
 * @param name with namespace
 * @param id what Kafka called it, in Base64's ordinary alphabet
 */
record SourceTopic(String bootstrapServers, String name, String id) implements Serializable {

  Admin connect() {
    return Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrapServers));
  }

  /**
   * Fails unless the topic is still the same.
   *
   * <p>An id never comes back. So all that was read before a check that passes was read of this topic.
   */
  void check(Admin admin) throws IOException, InterruptedException {
    String now;
    try {
      now = text(admin.describeTopics(List.of(name)).topicNameValues().get(name).get().topicId());
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

  /** Java's client writes ids in the URL's alphabet, librdkafka, which gave this one, in the ordinary one. */
  private static String text(Uuid id) {
    return id.toString().replace('-', '+').replace('_', '/');
  }
}
