ALTER TABLE "link_said" ADD COLUMN "study_status" text;--> statement-breakpoint
ALTER TABLE "link_said" ADD COLUMN "study_status_said_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "link_said" ADD COLUMN "corrections" json;--> statement-breakpoint
ALTER TABLE "link_study" ADD COLUMN "study_status" text;--> statement-breakpoint
ALTER TABLE "link_study" ADD COLUMN "corrections" json;